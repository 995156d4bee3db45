"""The values that the stages of one job share in one process, and the references that they pass on."""

import logging
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Protocol

from lipsync_core.errors import LipSyncError
from lipsync_core.execution import Execution
from lipsync_core.face.store import TrackStore
from lipsync_core.generators.contract import ModelIdentity
from lipsync_core.models.store import ModelStore
from lipsync_core.options import JobOptions
from lipsync_core.shortage import memory_shortage_told
from lipsync_core.source_video import SourceVideo
from tasks.stage_log import StageLog, StageMeter

_log = logging.getLogger(__name__)


class LocalCopy(Protocol):
    """A file of the job, brought to this machine."""

    @property
    def path(self) -> Path:
        """Its path."""

    @property
    def sha256(self) -> str:
        """Of its bytes, hexadecimal."""

    @property
    def size_bytes(self) -> int:
        """Its size."""

    @property
    def url_shown(self) -> str:
        """Its address without credentials and signature."""


class Files(Protocol):
    """Fetches and stores files by address; implemented by `lipsync_service.storage.storage.Storage`."""

    def fetch(self, url: str) -> AbstractContextManager[LocalCopy]:
        """The file at `url`, kept here while the context lasts."""

    def fetch_shared(self, url: str) -> AbstractContextManager[LocalCopy]:
        """As `fetch`, for a file that the service itself has made; the size limit of inputs does not apply."""

    def discard(self, url: str) -> None:
        """Remove a file that the service itself has made."""

    def put(self, path: Path, url: str, *, may_write: Callable[[], None] | None = None) -> None:
        """Write the file at `path` to the request's address `url`, whole or not at all; `may_write` is asked last."""

    def put_shared(self, path: Path, url: str) -> None:
        """Write the file at `path` to `url` in the service's own storage."""

    def exists(self, url: str) -> bool:
        """Whether there is a file at `url`."""

    def take(self, url: str) -> bool:
        """As `exists`, for a file that an earlier job may have made: it then stays for as long as a job may take."""

    def check_target(self, url: str) -> None:
        """Make sure that jobs may `put` to `url`, before any work is done for it."""


@dataclass(frozen=True, slots=True, eq=False)
class ServiceJob:
    """One job on one machine."""

    options: JobOptions
    models: ModelStore
    execution: Execution  # the provider and precision of the networks on this machine
    files: Files
    shared_url: str  # the folder of intermediate results that all machines share
    max_input_s: float  # how long an input may play
    max_gpu_wait_s: float  # how long the job waits for a worker of the GPU pool
    longest_segment_s: Fraction  # a longer result is rendered in segments; 0: none is
    folder: Path  # of this job alone, removed with it
    log: StageLog
    leases: ExitStack = field(default_factory=ExitStack)  # of the fetched files
    copies: list[LocalCopy] = field(default_factory=list)  # the fetched files

    def hold(self, lease: AbstractContextManager[LocalCopy]) -> LocalCopy:
        """Enter `lease` until the job ends."""
        copy = self.leases.enter_context(lease)
        self.copies.append(copy)
        return copy

    @contextmanager
    def stage(self, name: str, part_of: str = "") -> Iterator[StageMeter]:
        """Measure the block as stage `name`, or as a part of another stage.

        An error of the block names files by the caller's addresses.
        """
        with self.log.stage(name, part_of) as meter:
            try:
                with memory_shortage_told():
                    yield meter
            except LipSyncError as error:
                raise self.for_caller(error) from error

    def for_caller(self, error: LipSyncError) -> LipSyncError:
        """`error` for the caller, who knows addresses and not this machine's folders; they stay in this process's log.

        Inputs are named by their addresses, files of models by their path below the folder of all models.
        """
        message, remedy = error.message, error.remedy
        for copy in self.copies:
            message = message.replace(str(copy.path), copy.url_shown)
        models = f"{self.models.root}/"
        if models in message:
            _log.error("%s: %s", error.code, error)
            message, remedy = message.replace(models, ""), f"on the workers of the service, {remedy}"
        return type(error)(message, remedy)

    @property
    def tracks(self) -> TrackStore:
        """The job's own store of face tracks, in its folder."""
        return TrackStore(self.folder / "tracks")

    def shared(self, name: str) -> str:
        """The address of the intermediate result called `name`."""
        return f"{self.shared_url}/{name}"


@dataclass(frozen=True, slots=True)
class SourceSound:
    """The sound that the face is to speak."""

    path: Path
    sha256: str  # of the file's bytes, hexadecimal
    track: int  # the number of the track that is heard, from 0
    stated_s: Fraction | None = None  # how long its file says that it plays


@dataclass(frozen=True, slots=True)
class JobInputs:
    """The two inputs, on this machine."""

    video: SourceVideo
    audio: SourceSound


@dataclass(frozen=True, slots=True)
class TrackReference:
    """The stored face track of a job."""

    key: str  # 64 hex digits: the video's bytes, the tracker and the generator's observer
    url: str
    sound_end_s: Fraction  # the exact end of the sound that it covers, from the beginning of the whole result
    tracker: str  # name and version
    was_cached: bool


@dataclass(frozen=True, slots=True)
class EditsReference:
    """The stored edits of a job's synced frames: in one file, or in one for each segment of the movie."""

    url: str
    was_cached: bool
    count: int = 1  # of files

    def part_url(self, number: int) -> str:
        """The file for segment `number`."""
        return f"{self.url.removesuffix('.npy')}-{self.count}-{number:05d}.npy"


@dataclass(frozen=True, slots=True)
class ChosenParts:
    """The model and tracker that the inferring machine chose. They go to the CPU pool, which paints for that model."""

    model: ModelIdentity
    tracker: str  # name and version


@dataclass(frozen=True, slots=True)
class Inferred:
    """The stored results of track and infer. It crosses from the GPU pool to the CPU pool."""

    parts: ChosenParts
    track: TrackReference
    edits: EditsReference
