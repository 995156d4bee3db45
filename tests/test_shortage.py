"""Memory that ran out is one error, whatever library was refused it, and it leaves nothing behind."""

import errno
import resource
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import av
import cv2
import numpy as np
import pytest

from lipsync_core import shortage
from lipsync_core.clock import StageClock
from lipsync_core.errors import InputError, LipSyncError, MemoryShortageError, ModelError
from lipsync_core.media.encode import EncoderOptions
from lipsync_core.media.encoders import find_encoder
from lipsync_core.media.stream import PictureStream
from lipsync_core.models.store import ModelStore
from lipsync_core.shortage import memory_shortage_told, shortage_behind
from tests.conftest import Ffmpeg, MakeVideo
from tests.media.test_encode import spec

MIB = 1 << 20


def refused_by_numpy() -> None:
    np.empty(1 << 60, np.uint8)


def refused_by_ffmpeg() -> None:
    av.error.err_check(-errno.ENOMEM)


def refused_by_opencv() -> None:
    raise cv2.error("OpenCV(5.0) alloc.cpp:73: error: (-4:Insufficient memory) Failed to allocate 9 bytes")


def refused_by_cpp() -> None:
    raise RuntimeError("std::bad_alloc")


def refused_by_the_system() -> None:
    raise OSError(errno.ENOMEM, "Cannot allocate memory")


def refused_to_the_loader() -> None:
    raise ImportError("libopenblas.so: failed to map segment from shared object")


def refused_a_thread() -> None:
    raise RuntimeError("can't start new thread")


def translated() -> None:
    try:
        refused_by_ffmpeg()
    except av.FFmpegError as exc:
        raise InputError("a.mp4 cannot be read as media (Cannot allocate memory)") from exc


@pytest.mark.parametrize(
    "refused",
    [
        refused_by_numpy,
        refused_by_ffmpeg,
        refused_by_opencv,
        refused_by_cpp,
        refused_by_the_system,
        refused_to_the_loader,
        refused_a_thread,
        translated,
    ],
)
def test_each_library_that_is_refused_memory_gives_the_same_error(refused: Callable[[], None]) -> None:
    with pytest.raises(MemoryShortageError, match="memory ran out") as failure, memory_shortage_told():
        refused()
    assert (failure.value.code, failure.value.exit_status) == ("OUT_OF_MEMORY", 11)
    assert "--max-size" in str(failure.value)


@pytest.mark.parametrize(
    "failure",
    [
        ValueError("boom"),
        RuntimeError("boom"),
        InputError("out of memory.mp4 holds no picture"),
        FileNotFoundError(errno.ENOENT, "No such file", "out of memory.mp4"),
        ModelError("net.onnx fails"),
        RuntimeError("CUDA failure 2: out of memory"),
    ],
)
def test_other_errors_stay_as_they_are(failure: Exception) -> None:
    with pytest.raises(type(failure)) as raised, memory_shortage_told():
        raise failure
    assert raised.value is failure


@pytest.mark.parametrize(
    ("limit_mib", "peak_mib", "is_told"), [(1000, 950, True), (1000, 500, False), (None, 950, False)]
)
def test_a_vague_failure_of_a_library_is_a_shortage_only_where_the_limit_was_reached(
    limit_mib: int | None, peak_mib: int, is_told: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """x264 says no more than "Generic error in an external library"."""
    monkeypatch.setattr(shortage, "_limit_bytes", lambda: None if limit_mib is None else limit_mib * MIB)
    monkeypatch.setattr(shortage, "_address_space", lambda field: peak_mib * MIB)
    vague = LipSyncError("x264 cannot encode")
    vague.__cause__ = av.error.ExternalError(1, "Generic error in an external library", "avcodec_open2(libx264)")
    found = shortage_behind(vague)
    assert (found is not None) == is_told
    assert found is None or f"limit of {limit_mib} MiB" in found.message
    assert shortage_behind(KeyError("a fault of this program")) is None


def test_a_picture_that_a_decoder_had_no_memory_for_is_not_left_out(
    make_video: MakeVideo, monkeypatch: pytest.MonkeyPatch
) -> None:
    """FFmpeg's H.264 decoder calls it invalid data; damaged pictures are left out, and a job went on without them."""
    path = make_video(frames=10)
    blob = bytearray(path.read_bytes())
    at = blob.index(b"mdat") + len(blob) // 3
    blob[at : at + 400] = bytes(400)
    path.write_bytes(blob)
    with PictureStream(path, StageClock()) as stream:
        list(stream)
        assert stream.damaged
    monkeypatch.setattr(shortage, "_limit_bytes", lambda: 1000 * MIB)
    monkeypatch.setattr(shortage, "_address_space", lambda field: 990 * MIB)
    with pytest.raises(MemoryShortageError), PictureStream(path, StageClock()) as stream:
        list(stream)


def test_x265_is_not_opened_where_its_threads_might_not_start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It waits for ever for those that do not."""
    monkeypatch.setattr(shortage, "_limit_bytes", lambda: 1000 * MIB)
    monkeypatch.setattr(shortage, "_address_space", lambda field: 800 * MIB)
    with av.open(str(tmp_path / "out.mp4"), "w") as container, pytest.raises(MemoryShortageError):
        find_encoder("x265").open(container, spec(), EncoderOptions("x265"), StageClock())


def limited(mib: int, *command: str | Path) -> subprocess.CompletedProcess[str]:
    """`lipsync` in a process whose address space is limited."""

    def limit() -> None:
        resource.setrlimit(resource.RLIMIT_AS, (mib * MIB, mib * MIB))

    code = "import sys; from lipsync_cli.main import main; sys.exit(main())"
    return subprocess.run(
        [sys.executable, "-c", code, *map(str, command)], capture_output=True, text=True, preexec_fn=limit, timeout=300
    )


@pytest.fixture(scope="module")
def photo(face_clip: Path, ffmpeg: Ffmpeg, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Of 8 megapixels."""
    path = tmp_path_factory.mktemp("photo") / "photo.jpg"
    ffmpeg("-i", face_clip, "-frames:v", "1", "-vf", "scale=3840:2160", "-q:v", "3", path)
    return path


def test_with_little_memory_a_job_succeeds_or_says_so_in_one_line_and_leaves_nothing(
    photo: Path, speech_wav: Path, model_store: ModelStore, tmp_path: Path
) -> None:
    """From far too little to enough: libraries crashed, interrupted the process, or were reported as INTERNAL."""
    seen = set()
    for mib in (60, 250, 420, 500, 700, 800, 900, 1000, 1200, 4000, 32_000):
        folder = tmp_path / str(mib)
        folder.mkdir()
        done = limited(mib, "run", photo, speech_wav, "-o", folder / "out.mp4", "--end", "0.4", "-q")
        seen.add(done.returncode)
        said = done.stderr.splitlines()
        assert done.returncode in (0, 11), f"{mib} MiB: {done.returncode} {done.stderr}"
        assert [path.name for path in folder.iterdir()] == (["out.mp4"] if done.returncode == 0 else [])
        if done.returncode:
            assert len(said) == 1 and said[0].startswith("lipsync: error OUT_OF_MEMORY: "), done.stderr
    assert seen == {0, 11}


@pytest.mark.parametrize("mib", [60, 120, 300, 420, 450, 480, 500, 520])
def test_probing_with_little_memory_fails_in_one_line(photo: Path, mib: int) -> None:
    """OpenCV's import crashed at some of these limits, and OpenBLAS interrupted the process or ended it."""
    done = limited(mib, "probe", photo)
    assert (done.returncode, done.stdout) == (11, "")
    assert done.stderr.startswith("lipsync: error OUT_OF_MEMORY: ") and done.stderr.count("\n") == 1
