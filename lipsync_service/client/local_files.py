"""Files of the caller's machine that a request names: found, sent to the service's storage, and fetched from it."""

import hashlib
import re
import shutil
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from lipsync_core.errors import InputMissingError, LipSyncError, OptionError
from lipsync_core.isolation.room import reading_room
from lipsync_core.media.output import atomic_output, check_output
from lipsync_core.media.probe import require_audio, require_video
from lipsync_core.report import Progress
from lipsync_service.client.request import LipSyncRequest
from lipsync_service.client.results import result_urls
from lipsync_service.client.text_types import is_storable
from lipsync_service.settings import Settings
from lipsync_service.storage.reach import area_url
from lipsync_service.storage.storage import Storage

#: Receives the number of bytes of a file that were transferred, as `Storage` counts them.
FileProgress = Callable[[Path, Progress], None]
_SUFFIX = re.compile(r"\.[a-z0-9]{1,8}")
_ANY_SIZE = 1 << 62
_SENT_FOR_S = 600.0  # then a file that was sent is looked for again: the service may have removed it as unused
_FILE_FIELDS = ("video", "audio", "output")


@dataclass(frozen=True, slots=True)
class LocalFiles:
    """The files of a request that are named by a path."""

    video: Path | None = None
    audio: Path | None = None
    output: Path | None = None

    def faults(self, video_track: str | None = None, audio_track: str | None = None) -> dict[str, LipSyncError]:
        """The error of each file that cannot be used: the same as that of `lipsync_core.lip_sync`, before any work.

        The tracks are those that the request chooses; the fault of a missing one has the name of its field.
        """
        found: dict[str, LipSyncError] = {}
        checks = self._checks(video_track, audio_track)
        if not checks:  # a manifest may have thousands of such rows
            return found
        with reading_room("probes"):
            for name, check in checks.items():
                try:
                    check()
                except LipSyncError as error:
                    is_of_track = isinstance(error, OptionError) and name != "output"
                    found[f"{name}_track" if is_of_track else name] = error
        return found

    def _checks(self, video_track: str | None, audio_track: str | None) -> dict[str, Callable[[], object]]:
        video, audio, output = self.video, self.audio, self.output
        checks: dict[str, Callable[[], object]] = {}
        if output is not None:
            checks["output"] = lambda: check_output(output, [path for path in (video, audio) if path is not None])
        if video is not None:
            checks["video"] = lambda: require_video(video, video_track)
        if audio is not None:
            checks["audio"] = lambda: require_audio(audio, audio_track)
        return checks


def split_local(fields: Mapping[str, object], folder: Path) -> tuple[dict[str, object], LocalFiles]:
    """The fields of a request with file:// addresses for its paths, and these paths.

    A text without `://` is a path; a relative one counts from `folder`.
    """
    texts = {name: fields.get(name) for name in _FILE_FIELDS}
    paths = {
        name: folder / text
        for name, text in texts.items()
        if isinstance(text, str) and text and "://" not in text and is_storable(text)
    }
    return {**fields, **{name: path.absolute().as_uri() for name, path in paths.items()}}, LocalFiles(**paths)


class FileExchange:
    """Carries a caller's files to the service's own storage, and results from it."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        # The caller reads and writes by its own permission, whatever its tenant; a result may be larger than an input.
        self._storage = Storage(settings.model_copy(update={"max_input_bytes": _ANY_SIZE, "tenants": {}}))
        self._digests: dict[Path, str] = {}
        self._sent_at_s: dict[tuple[str, Path], float] = {}  # time.monotonic()

    def addressed(self, request: LipSyncRequest, local: LocalFiles) -> LipSyncRequest:
        """The request with addresses that the service's workers can open. Nothing is sent yet.

        An input's address is made of its content, an output's of the request without it: the same files with the same
        options are the same request.

        Raises:
            InputMissingError: an input cannot be read.
        """
        inputs = {name: path for name, path in (("video", local.video), ("audio", local.audio)) if path is not None}
        area = self._area(request)
        addressed = request.model_copy(update={name: self._address(area, path) for name, path in inputs.items()})
        if local.output is None:
            return addressed
        return addressed.model_copy(update={"output": result_urls(addressed, area)[0]})

    def require_storage(self, local: LocalFiles) -> None:
        """Raise OptionError where `local` needs a storage that is shared with the service, and no setting names it."""
        if local != LocalFiles() and "storage_url" not in self._settings.model_fields_set:
            remedy = "set LIPSYNC_STORAGE_URL, or give --service the file service.env that `make up` writes"
            raise OptionError("no storage is named that local files could go through", remedy)

    def send(self, request: LipSyncRequest, local: LocalFiles, progress: FileProgress) -> None:
        """Send the inputs of the request to their addresses, unless their content is there.

        Raises:
            OptionError: as `require_storage`.
            StorageError, TransientError: as `Storage.put`.
        """
        self.require_storage(local)
        for path in (local.video, local.audio):
            if path is not None:
                self._send(self._area(request), path, progress)

    def download(self, address: str, path: Path, progress: FileProgress) -> None:
        """Bring a result to `path`, whole or not at all; a file with the same content stays as it is.

        Raises:
            OutputError: it cannot be written.
            StorageError, TransientError: as `Storage.fetch`.
        """
        if path.is_file() and self._storage.holds(path, address):
            return
        is_own = address.startswith(f"{self._settings.storage_url}/")
        fetch = self._storage.fetch_shared if is_own else self._storage.fetch
        with (
            fetch(address, lambda each: progress(path, each)) as file,
            atomic_output(path) as partial,
        ):
            shutil.copyfile(file.path, partial)

    def _area(self, request: LipSyncRequest) -> str:
        return area_url(self._settings.storage_url, request.tenant)

    def _send(self, area: str, path: Path, progress: FileProgress) -> None:
        if time.monotonic() - self._sent_at_s.get((area, path), float("-inf")) <= _SENT_FOR_S:
            return
        address = self._address(area, path)
        if not (self._storage.take(address) and self._storage.holds(path, address)):
            self._storage.put_shared(path, address, lambda each: progress(path, each))
        self._sent_at_s[area, path] = time.monotonic()

    def _address(self, area: str, path: Path) -> str:
        if path not in self._digests:
            self._digests[path] = _sha256(path)
        digest = self._digests[path]
        suffix = path.suffix.lower() if _SUFFIX.fullmatch(path.suffix.lower()) else ""
        return f"{area}/uploads/{digest[:2]}/{digest}{suffix}"


def _sha256(path: Path) -> str:
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as exc:
        raise InputMissingError(f"{path} cannot be read: {exc.strerror}", "check the path and its permissions") from exc
