"""The errors of limits, one for each kind: `lipsync_core.limits` has the numbers.

    InputError                        exit 3   INPUT_INVALID
    └── LimitError                             LIMIT_EXCEEDED
        ├── BytesLimitError                LIMIT_BYTES
        ├── DurationLimitError             LIMIT_DURATION
        ├── PixelLimitError                LIMIT_PIXELS
        ├── FrameLimitError                LIMIT_FRAMES
        ├── FrameRateLimitError            LIMIT_FRAME_RATE
        ├── StreamLimitError               LIMIT_STREAMS
        ├── ChannelLimitError              LIMIT_CHANNELS
        ├── SampleRateLimitError           LIMIT_SAMPLE_RATE
        ├── IndexLimitError                LIMIT_INDEX
        ├── MetadataLimitError             LIMIT_METADATA
        ├── ManifestLimitError             LIMIT_MANIFEST
        ├── OutputLimitError               LIMIT_OUTPUT
        ├── DiskLimitError                 LIMIT_DISK
        ├── TimeLimitError                 LIMIT_TIME
        ├── CpuLimitError                  LIMIT_CPU
        └── MemoryLimitError               LIMIT_MEMORY

`lipsync_service.errors.TooLargeError` is another name of the first.
"""

from lipsync_core.errors import LimitError


class BytesLimitError(LimitError):
    """The file has more bytes than an input may have."""

    code = "LIMIT_BYTES"


class DurationLimitError(LimitError):
    """An input plays longer than one may; what is decoded counts, whatever its header says."""

    code = "LIMIT_DURATION"


class PixelLimitError(LimitError):
    """A picture has more pixels than one may."""

    code = "LIMIT_PIXELS"


class FrameLimitError(LimitError):
    """A video or a result has more frames than one may."""

    code = "LIMIT_FRAMES"


class FrameRateLimitError(LimitError):
    """A video has more frames a second than one may."""

    code = "LIMIT_FRAME_RATE"


class StreamLimitError(LimitError):
    """A file has more streams than one may."""

    code = "LIMIT_STREAMS"


class ChannelLimitError(LimitError):
    """A sound has more channels than one may."""

    code = "LIMIT_CHANNELS"


class SampleRateLimitError(LimitError):
    """A sound has more samples a second than one may, or fewer."""

    code = "LIMIT_SAMPLE_RATE"


class IndexLimitError(LimitError):
    """The index of a file unfolds to more entries than one may have."""

    code = "LIMIT_INDEX"


class MetadataLimitError(LimitError):
    """The compressed headers, texts or profiles of a file unfold to more bytes than they may."""

    code = "LIMIT_METADATA"


class ManifestLimitError(LimitError):
    """A manifest has more rows or bytes than one may."""

    code = "LIMIT_MANIFEST"


class OutputLimitError(LimitError):
    """The result has grown larger than one may."""

    code = "LIMIT_OUTPUT"


class DiskLimitError(LimitError):
    """The file system of the output has less room than a job leaves free."""

    code = "LIMIT_DISK"


class TimeLimitError(LimitError):
    """A job takes longer than it may."""

    code = "LIMIT_TIME"


class CpuLimitError(LimitError):
    """A job takes more processor time than it may."""

    code = "LIMIT_CPU"


class MemoryLimitError(LimitError):
    """A job takes more memory than it may."""

    code = "LIMIT_MEMORY"
