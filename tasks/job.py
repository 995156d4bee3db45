"""What all stages of one job share in one process, and what they hand to each other."""

from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Protocol

from lipsync_core.errors import LipSyncError
from lipsync_core.execution import Execution
from lipsync_core.generators.contract import ModelIdentity
from lipsync_core.models.store import ModelStore
from lipsync_core.options import JobOptions
from lipsync_core.source_video import SourceVideo
from tasks.stage_log import StageLog, StageMeter


class LocalCopy(Protocol):
    """A file of the job, brought to this machine."""

    @property
    def path(self) -> Path:
        """Where it lies."""

    @property
    def sha256(self) -> str:
        """Of its bytes, hexadecimal."""

    @property
    def size_bytes(self) -> int:
        """How many bytes it has."""

    @property
    def url_shown(self) -> str:
        """Where it came from, without what gives access."""


class Files(Protocol):
    """Fetches and stores files by address; implemented by `lipsync_service.storage.storage.Storage`."""

    def fetch(self, url: str) -> AbstractContextManager[LocalCopy]:
        """The file at `url`, kept here while the context lasts."""

    def fetch_shared(self, url: str) -> AbstractContextManager[LocalCopy]:
        """As `fetch`, of what the service itself has made, however large."""

    def discard(self, url: str) -> None:
        """Remove what the service itself has made and nobody needs any more."""

    def put(self, path: Path, url: str) -> None:
        """Write the file at `path` to `url`, whole or not at all."""

    def exists(self, url: str) -> bool:
        """Whether there is something at `url`."""

    def check_target(self, url: str) -> None:
        """Make sure that jobs may `put` to `url`, before the work that it would be for."""


@dataclass(frozen=True, slots=True, eq=False)
class ServiceJob:
    """One job on one machine."""

    options: JobOptions
    models: ModelStore
    execution: Execution  # what runs the networks on this machine
    files: Files
    shared_url: str  # the folder of intermediate results that all machines share
    max_input_s: float  # how long an input may play
    max_gpu_wait_s: float  # how long it waits for a worker of the GPU pool
    folder: Path  # of this job alone, removed with it
    log: StageLog
    leases: ExitStack = field(default_factory=ExitStack)  # what holds the fetched files
    copies: list[LocalCopy] = field(default_factory=list)  # the fetched files

    def hold(self, lease: AbstractContextManager[LocalCopy]) -> LocalCopy:
        """Enter `lease` until the job ends."""
        copy = self.leases.enter_context(lease)
        self.copies.append(copy)
        return copy

    @contextmanager
    def stage(self, name: str) -> Iterator[StageMeter]:
        """Measure the block as stage `name`. What fails there names files as the caller does, by their addresses."""
        with self.log.stage(name) as meter:
            try:
                yield meter
            except LipSyncError as error:
                raise self._in_callers_words(error) from error

    def _in_callers_words(self, error: LipSyncError) -> LipSyncError:
        message = error.message
        for copy in self.copies:
            message = message.replace(str(copy.path), copy.url_shown)
        return type(error)(message, error.remedy)

    def shared(self, name: str) -> str:
        """The address of the intermediate result called `name`."""
        return f"{self.shared_url}/{name}"


@dataclass(frozen=True, slots=True)
class JobInputs:
    """The two inputs, on this machine."""

    video: SourceVideo
    audio: LocalCopy


@dataclass(frozen=True, slots=True)
class TrackReference:
    """Where the face track of a job is kept, and for how much sound it was made."""

    key: str  # 64 hex digits: the video's bytes, the tracker and who looked on
    url: str
    audio_s: Fraction  # exact length of the heard part, from the result's beginning
    tracker: str  # name and version
    was_cached: bool


@dataclass(frozen=True, slots=True)
class EditsReference:
    """Where the edits of a job's synced frames are kept."""

    url: str
    was_cached: bool


@dataclass(frozen=True, slots=True)
class Inferred:
    """Where the results of track and infer are kept; it crosses from the GPU pool to the CPU pool."""

    model: ModelIdentity  # the model that worked out the edits; the CPU pool paints for it
    track: TrackReference
    edits: EditsReference
