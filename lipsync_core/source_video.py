"""A job's video with its properties, which are learned once and passed from stage to stage."""

import hashlib
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

from lipsync_core.decoder_choice import ON_CPU, DecoderChoice
from lipsync_core.errors import InputMissingError
from lipsync_core.media.probe import VideoInfo, require_video
from lipsync_core.media.starts import file_starts


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

    @classmethod
    def probed(cls, path: Path, track: str | None = None) -> "SourceVideo":
        """The video at `path`.

        Raises:
            InputError: as `media.probe.require_video`.
        """
        lead_s = file_starts(path, video_track=track).picture_s
        return cls(path, require_video(path, track), str(path), lead_s=lead_s, track=track)

    def sha256(self) -> str:
        """64 hex digits over all of its bytes; the file is read where the sum is not known yet.

        Raises:
            InputMissingError: the file cannot be read.
        """
        if self.known_sha256 is not None:
            return self.known_sha256
        try:
            with self.path.open("rb") as file:
                return hashlib.file_digest(file, "sha256").hexdigest()
        except OSError as exc:
            raise InputMissingError(f"{self.path} cannot be read: {exc.strerror}") from exc
