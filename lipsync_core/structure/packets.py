"""Looks at a packet of a picture before FFmpeg decodes it.

Some codecs of still pictures unfold what a packet holds without a limit, in whatever container it lies: PNG its texts,
JPEG 2000 its code blocks. FFmpeg decodes the first packets as it opens a file, covers of music included, where nobody
can look at them first. So it opens files without a decoder for these codecs, and needs none: a container states sizes
and times, and what it does not state the first decoded picture tells.
"""

from collections.abc import Callable, Mapping
from io import BytesIO
from types import MappingProxyType

from lipsync_core.limits import Limits
from lipsync_core.structure.codestream import check_codestream
from lipsync_core.structure.png import check_png


def _check_png(data: bytes, limits: Limits) -> None:
    check_png(BytesIO(data), len(data), limits)


_CHECKS: Mapping[str, Callable[[bytes, Limits], None]] = MappingProxyType(
    {"png": _check_png, "apng": _check_png, "jpeg2000": check_codestream}
)
#: FFmpeg's names of the decoders whose packets are looked at one by one.
UNFOLDING_CODECS = frozenset(_CHECKS)


def check_packet(codec: str, data: bytes, limits: Limits) -> None:
    """Refuse a packet for the decoder `codec` that unfolds beyond `limits`; all other codecs pass.

    Raises:
        PixelLimitError, MetadataLimitError, IndexLimitError: it is beyond a limit.
    """
    check = _CHECKS.get(codec)
    if check is not None:
        check(data, limits)
