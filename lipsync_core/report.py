"""The report of a job: counted frames, timed stages, named models."""

from collections.abc import Callable
from dataclasses import dataclass
from enum import IntEnum
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING

from lipsync_core.clock import StageTiming
from lipsync_core.execution import ProviderChoice
from lipsync_core.score_figures import NOT_SCORED, Scoring

if TYPE_CHECKING:  # they import PyAV, and the command line's help shall not
    from lipsync_core.decoder_choice import DecoderChoice
    from lipsync_core.encoder_choice import EncoderChoice
    from lipsync_core.errors import SigningError


class Outcome(IntEnum):
    """The outcome of one output frame."""

    SYNCED = 0
    PASSED_NO_FACE = 1
    PASSED_LOW_SCORE = 2
    PASSED_COVERED = 3


@dataclass(frozen=True, slots=True)
class FrameCounts:
    """Output frames by outcome."""

    synced: int
    passed_no_face: int
    passed_low_score: int
    passed_covered: int = 0

    @property
    def total(self) -> int:
        """All output frames."""
        return self.synced + self.passed_no_face + self.passed_low_score + self.passed_covered

    @property
    def synced_share(self) -> float:
        """0..1; 0 where there is no frame."""
        return self.synced / self.total if self.total else 0.0


@dataclass(frozen=True, slots=True)
class Progress:
    """The progress of a job: `done` of `total` items of one stage; `total` is None while unknown."""

    stage: str
    done: int
    total: int | None


ProgressCallback = Callable[[Progress], None]


@dataclass(frozen=True, slots=True)
class Provenance:
    """How a movie says how it was made."""

    signer: str = ""  # organisation and common name of the certificate; empty: nobody has signed
    is_self_made: bool = False  # the certificate
    source: str = "none"  # of the video's own credentials: none, valid, altered
    error: "SigningError | None" = None  # why nobody has signed, though it was asked for

    @property
    def account(self) -> str:
        """In one line: "signed by ...", "not signed: ..."."""
        if self.error is not None:
            return f"not signed: {self.error.code}: {self.error.message}"
        if not self.signer:
            return "not signed, as was asked for"
        source = "" if self.source == "none" else f"; the video's own credentials: {self.source}"
        return f"signed by {self.signer}{source}"


@dataclass(frozen=True, slots=True)
class JobReport:
    """The report of one finished job."""

    output: Path
    output_bytes: int
    duration_s: Fraction  # of the output's video
    width_px: int
    height_px: int
    model: str  # name and version
    model_licence: str
    model_sha256: str | None  # of the file that its weights came in; None where it has none
    model_reason: str  # why this model: asked for, or the best installed
    tracker: str
    track_was_cached: bool
    blender: str
    enhancer: str | None  # name, version and licence
    decoding: "DecoderChoice"
    encoding: "EncoderChoice"
    providers: ProviderChoice
    audio: str  # "copy (aac)" or "aac 192 kb/s"
    frames: FrameCounts
    stages: tuple[StageTiming, ...]
    wall_s: float
    cpu_s: float
    peak_rss_bytes: int
    dropped: tuple[str, ...] = ()  # what the source holds and the movie does not: "2 subtitle tracks"
    provenance: Provenance = Provenance()
    scoring: Scoring = NOT_SCORED
    jobs: int = 1  # how many processes have rendered segments of the movie side by side
    changes: tuple[str, ...] = ()  # of pixels before they are encoded, edited or not: "10 to 8 bits"

    @property
    def encoder(self) -> str:
        """The name of the encoder that made the movie."""
        return self.encoding.chosen
