"""A job's video with its properties, which are learned once and passed from stage to stage."""

import hashlib
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path

from lipsync_core.decoder_choice import ON_CPU, DecoderChoice, choose_decoder
from lipsync_core.errors import InputMissingError
from lipsync_core.execution import Decoding
from lipsync_core.media.delivery import reduced_size
from lipsync_core.media.field_choice import needs_whole_pictures
from lipsync_core.media.probe import VideoInfo, require_video
from lipsync_core.media.starts import file_starts
from lipsync_core.media.stream import Reading
from lipsync_core.media.working import WorkingPicture, working_picture
from lipsync_core.options import JobOptions


@dataclass(frozen=True, slots=True)
class SourceVideo:
    """The video whose face is to speak."""

    path: Path
    info: VideoInfo
    name: str  # in messages
    known_sha256: str | None = None  # of its bytes; None where it has not been computed yet
    decoding: DecoderChoice = ON_CPU
    lead_s: Fraction = Fraction(0)  # how long after the file's time 0 its first picture appears
    track: str | None = None  # as for `media.tracks.video_stream`
    is_woven: bool = False  # of two fields: its pictures are to be deinterlaced
    size_px: tuple[int, int] | None = None  # to which its pictures are scaled while they are decoded; None: as they are

    @classmethod
    def probed(
        cls,
        path: Path,
        options: JobOptions | None = None,
        decoder: Decoding = "cpu",
        info: VideoInfo | None = None,
    ) -> "SourceVideo":
        """The video at `path`, as a job of these options reads it.

        `info` are the properties of the track that the options choose, where they are known.

        Raises:
            OptionError: the file has no such track.
            InputError: as `media.probe.require_video`.
        """
        options = options or JobOptions()
        track = options.video_track
        info = info or require_video(path, track)
        return cls(
            path,
            info,
            str(path),
            decoding=choose_decoder(decoder, path, info, track),
            lead_s=file_starts(path, video_track=track).picture_s,
            track=track,
            is_woven=needs_whole_pictures(path, info, options.deinterlace, track),
        )

    def reduced_for(self, options: JobOptions) -> "SourceVideo":
        """This video, its pictures scaled at once where the movie of `options` cannot be as large: `reduced_size`."""
        return replace(self, size_px=reduced_size(self.info, options))

    @property
    def reading(self) -> Reading:
        """How its pictures are decoded."""
        return Reading(self.decoding.chosen, self.track, self.is_woven, self.size_px)

    @property
    def reading_by_cpu(self) -> Reading:
        """The same, whatever decoder is chosen."""
        return replace(self.reading, decoder="cpu")

    @property
    def picture(self) -> WorkingPicture:
        """Size, format and colour of its pictures as they are worked on."""
        picture = working_picture(self.info)
        if self.size_px is None:
            return picture
        return replace(picture, width_px=self.size_px[0], height_px=self.size_px[1])

    def sha256(self) -> str:
        """64 hex digits over all of its bytes; the file is read where the sum is not known yet.

        Raises:
            InputMissingError: the file cannot be read.
        """
        return self.known_sha256 or input_sha256(self.path)


def input_sha256(path: Path) -> str:
    """64 hex digits over all bytes of an input.

    Raises:
        InputMissingError: the file cannot be read.
    """
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as exc:
        raise InputMissingError(f"{path} cannot be read: {exc.strerror}") from exc
