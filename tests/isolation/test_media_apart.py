"""What is read apart equals what is read here: frames, sound, packets, properties, errors, and a whole movie."""

import gc
import random
import subprocess
import sys
from collections.abc import Callable, Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import pytest

from lipsync_core.clock import StageClock
from lipsync_core.errors import LipSyncError
from lipsync_core.face.rotation import quarter_turns
from lipsync_core.isolation import pictures, wire
from lipsync_core.isolation.pictures import SharedPictures
from lipsync_core.isolation.room import reading_room
from lipsync_core.isolation.wire import BrokenWireError, packed
from lipsync_core.media.decode import SourceFrame, decode_frames, decode_in_order
from lipsync_core.media.planes import plane_samples
from lipsync_core.media.probe import probe, require_audio
from lipsync_core.media.sound import AudioCut, decode_sound
from lipsync_core.media.source_frame import SourceFrame as Frame
from lipsync_core.media.starts import file_starts
from lipsync_core.options import JobOptions
from lipsync_core.pipeline import lip_sync
from lipsync_core.workspace import Workspace
from tests.conftest import Ffmpeg, MakeVideo
from tests.shared_files import ROOT
from tests.thorough import first_of

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="readers need Linux")
#: Size, pixel format and codec: what PyAV takes from memory as it is, and what it does not.
KINDS = {
    "plain": ("160x120", "yuv420p", ("libx264",)),
    "height of 4n + 2": ("160x122", "yuv420p", ("libx264",)),
    "odd": ("161x121", "yuv444p", ("libx264",)),
    "full range": ("160x120", "yuvj420p", ("mjpeg",)),
    "4:2:2": ("160x120", "yuv422p", ("libx264",)),
    "10 bits": ("160x120", "yuv420p10le", ("libx264",)),
    "10 bits, 4:4:4": ("160x120", "yuv444p10le", ("libx264",)),
    "grey": ("160x120", "gray", ("ffv1",)),
}


def planes(frame: SourceFrame) -> tuple[bytes, ...]:
    return tuple(plane_samples(frame.picture, at).tobytes() for at in range(len(frame.picture.planes)))


def told(frame: SourceFrame) -> tuple[Any, ...]:
    """All that a stage can see of a frame."""
    picture = frame.picture
    tags = (picture.colorspace, picture.color_range, picture.color_primaries, picture.color_trc)
    turns = (quarter_turns(picture) + frame.extra_turns) % 4
    shape = (picture.format.name, picture.width, picture.height, picture.pts, picture.time_base)
    return (frame.index, frame.pts, frame.duration, frame.time_base, turns, shape, *map(int, tags), planes(frame))


def here_and_apart(do: Callable[[], Any]) -> tuple[Any, Any]:
    here = do()
    with reading_room("all"):
        return here, do()


@pytest.fixture(params=list(KINDS))
def video(request: pytest.FixtureRequest, ffmpeg: Ffmpeg, tmp_path: Path) -> Path:
    size, pix_fmt, codec = KINDS[request.param]
    path = tmp_path / "video.mkv"
    source = ("-f", "lavfi", "-i", f"testsrc2=s={size}:r=25:d=1")
    ffmpeg(*source, "-pix_fmt", pix_fmt, "-c:v", *codec, path)
    return path


def test_frames_are_the_same_in_any_order(video: Path) -> None:
    here, apart = here_and_apart(lambda: [told(frame) for frame in decode_frames(video, StageClock())])
    assert here == apart and len(here) == 25
    order = [*range(25), *range(23, -1, -1), *random.Random(3).choices(range(25), k=20)]
    here, apart = here_and_apart(
        lambda: [told(frame) for frame in decode_in_order(video, order, StageClock(), 1 << 20)]
    )
    assert here == apart


def test_frames_that_are_kept_stay_as_they_were(make_video: MakeVideo) -> None:
    video = make_video("video.mp4")
    with reading_room("all"):
        kept = list(decode_frames(video, StageClock()))
    assert [planes(frame) for frame in kept] == [planes(frame) for frame in decode_frames(video, StageClock())]
    assert len({planes(frame) for frame in kept}) > len(kept) // 2


def test_a_frame_may_be_edited_where_it_lies(make_video: MakeVideo) -> None:
    video = make_video("video.mp4")
    with reading_room("all"):
        for frame, plain in zip(decode_frames(video, StageClock()), decode_frames(video, StageClock()), strict=True):
            frame.picture.make_writable()
            plane_samples(frame.picture, 0)[:] = 7
            assert planes(frame)[0] == b"\7" * (160 * 120) and planes(frame)[1:] == planes(plain)[1:]


@pytest.mark.parametrize("turn", ["0", "90", "180", "270"])
def test_turned_frames_are_turned_the_same_way(face_clip: Path, ffmpeg: Ffmpeg, tmp_path: Path, turn: str) -> None:
    path = tmp_path / "turned.mp4"
    ffmpeg("-display_rotation", turn, "-i", face_clip, "-c", "copy", "-t", "0.2", path)
    here, apart = here_and_apart(lambda: [told(frame) for frame in decode_frames(path, StageClock())])
    assert here == apart and here


@pytest.mark.parametrize(
    ("layout", "codec"),
    [
        ("mono", "pcm_u8"),
        ("stereo", "pcm_s16le"),
        ("5.1", "flac"),
        ("7.1", "pcm_f32le"),
        ("stereo", "aac"),
        ("7.1", "aac"),
        ("stereo", "libopus"),
    ],
)
def test_sound_is_the_same(ffmpeg: Ffmpeg, tmp_path: Path, layout: str, codec: str) -> None:
    path = tmp_path / "sound.mka"
    ffmpeg("-f", "lavfi", "-i", f"sine=440:d=1:r=48000,aformat=channel_layouts={layout}", "-c:a", codec, path)

    def heard() -> list[tuple[Any, ...]]:
        return [
            (frame.format.name, frame.layout.name, frame.sample_rate, frame.pts, frame.to_ndarray().tobytes())
            for frame in decode_sound(AudioCut(path, Fraction(1, 10)))
        ]

    here, apart = here_and_apart(heard)
    assert here == apart and here


def test_properties_are_the_same(face_clip: Path, speech_wav: Path) -> None:
    for ask in (
        lambda: probe(face_clip),
        lambda: probe(speech_wav),
        lambda: require_audio(speech_wav),
        lambda: file_starts.__globals__["_look_for_starts"](face_clip, None, None),
    ):
        here, apart = here_and_apart(ask)
        assert here == apart and type(here) is type(apart)


@pytest.mark.parametrize(
    "content", [b"", b"no media at all" * 100, b"#EXTM3U\n#EXT-X-STREAM-INF:BANDWIDTH=1\na.m3u8\n"]
)
def test_errors_are_the_same(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "broken.mp4"
    path.write_bytes(content)

    def failure() -> tuple[type[LipSyncError], str]:
        with pytest.raises(LipSyncError) as caught:
            probe(path)
        return type(caught.value), str(caught.value)

    here, apart = here_and_apart(failure)
    assert here == apart


@pytest.mark.parametrize(
    "chosen", first_of([{}, {"audio_codec": "aac"}, {"audio_codec": "copy"}, {"max_size": (320, 180)}], 2), ids=str
)
def test_a_movie_is_the_same_to_the_byte(
    face_clip: Path, speech_wav: Path, workspace: Workspace, ffmpeg: Ffmpeg, tmp_path: Path, chosen: dict[str, Any]
) -> None:
    sound = tmp_path / "speech.m4a"
    ffmpeg("-i", speech_wav, "-t", "1", "-c:a", "aac", sound)
    options = JobOptions(**chosen, preset="ultrafast", provenance=False)  # whose time and signature differ

    def made() -> bytes:
        lip_sync(face_clip, sound, tmp_path / "out.mp4", options, workspace)
        return (tmp_path / "out.mp4").read_bytes()

    here, apart = here_and_apart(made)
    assert here == apart


def test_nobody_but_readers_opens_the_inputs(
    face_clip: Path, speech_wav: Path, workspace: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened: list[str] = []
    real = av.open

    def watched(file: Any, mode: str = "r", **options: Any) -> Any:
        if mode == "r":
            opened.append(str(file))
        return real(file, mode, **options)

    with reading_room("all"):
        monkeypatch.setattr(av, "open", watched)
        lip_sync(face_clip, speech_wav, tmp_path / "out.mp4", JobOptions(end_s=Fraction(1, 2)), workspace)
    assert [each for each in opened if "BytesIO" not in each] == []
    lip_sync(face_clip, speech_wav, tmp_path / "out.mp4", JobOptions(end_s=Fraction(1, 2)), workspace)
    assert len([each for each in opened if "BytesIO" not in each]) > 3


@pytest.fixture
def memory() -> Iterator[SharedPictures]:
    shared = SharedPictures.make()
    yield shared
    shared.close()


def packed_frame(memory: SharedPictures, width: int = 64, height: int = 48) -> bytes:
    picture = av.VideoFrame(width, height, "yuv420p")
    for at in range(3):
        plane_samples(picture, at)[:] = at + 1
    return memory.pack(Frame(0, 0, 1, Fraction(1, 25), picture))


@pytest.mark.parametrize(
    "lie",
    [
        {"width_px": 1 << 17},
        {"width_px": 0},
        {"height_px": -2},
        {"height_px": 1 << 14},
        {"width_px": 63},
        {"slot": -1},
        {"slot": 1 << 40},
        {"slot_bytes": 1},
        {"slot_bytes": -(1 << 20)},
        {"slot_bytes": 1 << 40},
        {"pix_fmt": "rgb24"},
        {"pix_fmt": "no format"},
        {"time_base": (0, 1)},
        {"time_base": (1, 0)},
        {"pts": -1},
        {"index": "a text"},
        {"other_shape": [64, 48, "no format", 1, False, 1]},
        {"other_shape": [64, -48, "yuv420p", 1, False, 1]},
        {"other_shape": [64, 48, "yuv420p", 300, False, 1]},
        {"other_shape": [64, 48, "yuv420p", 1, False, -1]},
        {"other_shape": [64, 48]},
    ],
)
def test_a_frame_outside_of_the_memory_is_refused(memory: SharedPictures, lie: dict[str, Any]) -> None:
    import msgspec

    honest = msgspec.msgpack.decode(packed_frame(memory))
    assert planes(memory.unpack(msgspec.msgpack.encode(honest)))[2] == b"\3" * (32 * 24)
    assert set(lie) <= set(honest)
    with pytest.raises(BrokenWireError):
        memory.unpack(msgspec.msgpack.encode({**honest, **lie}))


def test_noise_on_the_wire_is_refused_and_nothing_else(memory: SharedPictures) -> None:
    source, honest = random.Random(12), packed_frame(memory)
    refused = 0
    for _ in range(2000):
        noisy = bytearray(honest)
        for _ in range(source.randint(1, 4)):
            noisy[source.randrange(len(noisy))] = source.randrange(256)
        try:
            memory.unpack(bytes(noisy))
        except BrokenWireError:
            refused += 1
    assert refused > 200


def test_the_memory_cannot_be_cut_off_under_its_reader(memory: SharedPictures) -> None:
    import os

    with pytest.raises(PermissionError):
        os.ftruncate(memory.descriptor, 4096)


def test_a_picture_that_is_too_large_is_a_limit(memory: SharedPictures, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pictures, "_CAPACITY_BYTES", 64 * 48)
    with pytest.raises(LipSyncError) as caught:
        packed_frame(memory)
    assert caught.value.code == "LIMIT_PIXELS"


def test_values_cross_unchanged() -> None:
    value = (Fraction(1001, 30000), Path("/a/b"), None, b"\0", "ü", 2**62, 0.5)
    kind = tuple[Fraction, Path, None, bytes, str, int, float]
    assert wire.unpacked(packed(value), kind) == value


@pytest.mark.parametrize("field", ["max_opening_memory_bytes", "max_reading_memory_bytes"])
def test_a_reader_that_is_refused_memory_takes_no_stream_for_another(
    field: str, face_clip: Path, speech_wav: Path, ffmpeg: Ffmpeg, tmp_path: Path
) -> None:
    """FFmpeg opens a file whose decoders it has no memory for: its sound was left out, or "states no channels"."""
    movie, sound = tmp_path / "movie.mp4", tmp_path / "sound.m4a"
    ffmpeg("-i", face_clip, "-i", speech_wav, "-c:v", "copy", "-c:a", "aac", "-t", "1", movie)
    ffmpeg("-i", movie, "-vn", "-c:a", "copy", sound)
    program = f"""
import sys
from dataclasses import replace
from pathlib import Path
from lipsync_core.errors import LipSyncError
from lipsync_core.isolation.room import reading_room
from lipsync_core.limits import Limits, limited
from lipsync_core.media.probe import probe
with reading_room("probes"):
    for path in map(Path, sys.argv[1:]):
        whole = probe(path)
        for kib in range(128, 4096, 128):
            with limited(replace(Limits(), {field}=kib << 10)):
                try:
                    print("whole" if probe(path) == whole else "other")
                except LipSyncError as error:
                    print(error.code)
"""  # a process of its own: one that has done other tests has memory left over
    command = [sys.executable, "-c", program, str(movie), str(sound)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120)
    said = set(done.stdout.split())
    # With the least memory of all, a library may crash; then the file has ended its reader.
    assert {"LIMIT_MEMORY", "whole"} <= said <= {"LIMIT_MEMORY", "whole", "MEDIA_UNREADABLE"}, done.stderr


def test_nothing_runs_as_a_frame_goes_and_its_slot_comes_back_with_the_next(memory: SharedPictures) -> None:
    """A signal's handler could run there, and what it raises would be lost."""
    released: list[int] = []
    memory.release = released.append
    frames = [memory.unpack(packed_frame(memory)) for _ in range(3)]
    lent = [each.picture for each in frames]
    assert released == []
    frames.clear()
    lent.clear()
    gc.collect()
    assert released == []
    memory.unpack(packed_frame(memory))
    assert sorted(released) == [0, 1, 2]
