"""Re-opened movies: their times, tags, sound and order of the boxes; after a failure there is no file at all."""

import os
import resource
import signal
import subprocess
import sys
import wave
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from lipsync_core.clock import StageClock
from lipsync_core.errors import DiskFullError, NoAudioError, OptionError, OutputError
from lipsync_core.limits import Limits, limited
from lipsync_core.media.encode import EncoderOptions, PictureSpec
from lipsync_core.media.mux import MovieTracks, MovieWriter
from lipsync_core.media.probe import ColourTags, probe
from lipsync_core.media.sound import AudioCut
from tests.sounds import CLICK_S, click, click_time_s, tone, write_sound, write_sound_with_hole

WIDTH, HEIGHT = 96, 64
UNTAGGED = ColourTags(2, 0, 2, 2)
MAX_CLICK_ERROR_S = 0.001
AAC_BLOCK = 1024  # samples

Times = list[tuple[int, int]]  # pts, duration


def spec(
    time_base: Fraction = Fraction(1, 25),
    frame_rate: Fraction = Fraction(25),
    pix_fmt: str = "yuv420p",
    colour: ColourTags = UNTAGGED,
    sample_aspect_ratio: Fraction = Fraction(1),
    rotation_deg: int = 0,
) -> PictureSpec:
    return PictureSpec(WIDTH, HEIGHT, pix_fmt, time_base, frame_rate, sample_aspect_ratio, rotation_deg, colour)


def picture(index: int, pix_fmt: str = "yuv420p") -> av.VideoFrame:
    noise = np.random.default_rng(index).integers(0, 255, (HEIGHT, WIDTH, 3), np.uint8)
    return av.VideoFrame.from_ndarray(noise, format="rgb24").reformat(format=pix_fmt)


def steady(count: int) -> Times:
    return [(index, 1) for index in range(count)]


def write_movie(
    output: Path,
    times: Times,
    audio: AudioCut | None = None,
    of: PictureSpec | None = None,
    metadata: Mapping[str, str] | None = None,
) -> str:
    """Write a picture for each of `times`; returns the note on the sound."""
    of = of or spec()
    tracks = MovieTracks(audio, metadata=metadata or {})
    with MovieWriter(output, of, EncoderOptions(preset="ultrafast"), tracks, StageClock()) as movie:
        for index, (pts, duration) in enumerate(times):
            movie.write(picture(index, of.pix_fmt), pts, duration)
    return movie.audio_note


def top_boxes(path: Path) -> list[str]:
    data, names, at = path.read_bytes(), [], 0
    while at < len(data):
        names.append(data[at + 4 : at + 8].decode())
        at += int.from_bytes(data[at : at + 4])
    return names


def sound_packets(path: Path) -> list[bytes]:
    with av.open(str(path)) as container:
        return [bytes(packet) for packet in container.demux(audio=0) if packet.size]


def sound_duration_s(path: Path) -> Fraction:
    info = probe(path).audio
    assert info is not None
    assert info.duration_s is not None
    return info.duration_s


@pytest.mark.parametrize(
    ("time_base", "times"),
    [
        (Fraction(1001, 30000), [*steady(35), (35, 7)]),
        (Fraction(1, 90000), [(index * 3003, 3003) for index in range(40)]),
        (Fraction(1, 12800), [(0, 437), (437, 700), (1137, 1), (1138, 9001), (10139, 333)]),
        (Fraction(1, 1000), [(0, 33), (33, 34), (67, 33), (100, 1900)]),
    ],
    ids=["ntsc", "ntsc ticks", "variable", "milliseconds"],
)
def test_picture_times_and_the_length_are_exact(tmp_path: Path, time_base: Fraction, times: Times) -> None:
    output = tmp_path / "out.mp4"
    write_movie(output, times, of=spec(time_base, Fraction(30000, 1001)))
    with av.open(str(output)) as container:
        stream = container.streams.video[0]
        found = [frame.pts * frame.time_base for frame in container.decode(stream)]
        duration_s = stream.duration * stream.time_base
    assert found == [pts * time_base for pts, _ in times]
    assert duration_s == sum(times[-1]) * time_base


def test_what_describes_the_pictures_survives(tmp_path: Path) -> None:
    output = tmp_path / "out.mp4"
    colour = ColourTags(matrix=9, range=2, primaries=9, transfer=18)
    of = spec(pix_fmt="yuv420p10le", colour=colour, sample_aspect_ratio=Fraction(16, 11), rotation_deg=-90)
    write_movie(output, steady(5), of=of)
    video = probe(output).video
    assert video is not None
    assert (video.width_px, video.height_px, video.pix_fmt) == (WIDTH, HEIGHT, "yuv420p10le")
    assert (video.colour, video.sample_aspect_ratio) == (colour, Fraction(16, 11))
    assert video.rotation_deg % 360 == 270


@pytest.mark.parametrize("name", ["out.mp4", "out.m4v", "out.mov"])
def test_the_index_comes_first_and_the_metadata_is_there(tmp_path: Path, name: str) -> None:
    output = tmp_path / name
    source = write_sound(tmp_path / "in.wav", "pcm_s16le", 16000, tone(16000, 1, 1.0))
    write_movie(output, steady(25), AudioCut(source), metadata={"title": "Tïtle", "comment": "made by a machine"})
    boxes = top_boxes(output)
    assert boxes.index("moov") < boxes.index("mdat")
    with av.open(str(output)) as container:
        assert container.metadata["title"] == "Tïtle"
        assert container.metadata["comment"] == "made by a machine"


@pytest.mark.parametrize(
    ("name", "codec", "rate_hz", "channels", "note"),
    [
        ("in.m4a", "aac", 44100, 2, "copy (aac)"),
        ("in.mkv", "aac", 44100, 1, "copy (aac)"),
        ("in.ts", "aac", 48000, 2, "copy (aac)"),
        ("in.aac", "aac", 44100, 2, "copy (aac)"),
        ("in.mp3", "libmp3lame", 44100, 2, "aac 224 kb/s"),
        ("in.ac3", "ac3", 48000, 6, "aac 480 kb/s"),
        ("in.eac3", "eac3", 48000, 2, "aac 224 kb/s"),
        ("alac.m4a", "alac", 44100, 2, "aac 224 kb/s"),
        ("in.flac", "flac", 44100, 2, "aac 224 kb/s"),
        ("in.ogg", "libopus", 48000, 2, "aac 224 kb/s"),
        ("in.webm", "libopus", 48000, 2, "aac 224 kb/s"),
        ("cd.wav", "pcm_s16le", 44100, 2, "aac 224 kb/s"),
        ("studio.wav", "pcm_s24le", 48000, 2, "aac 224 kb/s"),
        ("studio192.wav", "pcm_s24le", 192000, 2, "aac 224 kb/s"),
        ("telephone.wav", "pcm_s16le", 8000, 1, "aac 48 kb/s"),
        ("speech.wav", "pcm_s16le", 16000, 1, "aac 96 kb/s"),
        ("bytes.wav", "pcm_u8", 11025, 1, "aac 66 kb/s"),
        ("odd rate.wav", "pcm_s16le", 10000, 1, "aac 66 kb/s"),
        ("surround.wav", "pcm_s16le", 48000, 6, "aac 480 kb/s"),
        ("odd layout.wav", "pcm_s16le", 48000, 3, "aac 240 kb/s"),
        ("mulaw.wav", "pcm_mulaw", 8000, 1, "aac 48 kb/s"),
    ],
)
def test_the_sound_begins_where_it_did(
    tmp_path: Path, name: str, codec: str, rate_hz: int, channels: int, note: str
) -> None:
    """Priming, edit lists, resampling: a click stays where it was to the millisecond."""
    output = tmp_path / "out.mp4"
    source = write_sound(tmp_path / name, codec, rate_hz, click(rate_hz, channels))
    assert write_movie(output, steady(50), AudioCut(source)) == note
    assert abs(click_time_s(output) - click_time_s(source)) < MAX_CLICK_ERROR_S
    assert abs(float(sound_duration_s(output)) - 2.0) < (AAC_BLOCK + 1152) / rate_hz + 0.024
    if note.startswith("copy") and not name.endswith((".ts", ".aac")):
        assert sound_packets(output) == sound_packets(source)


def test_sound_of_unnamed_channels_is_mixed_to_one(tmp_path: Path) -> None:
    """FFmpeg refuses to mix ten channels that have no names."""
    with wave.open(str(tmp_path / "in.wav"), "wb") as file:
        file.setnchannels(10)
        file.setsampwidth(2)
        file.setframerate(48000)
        file.writeframes(click(48000, 1).repeat(10, axis=1).tobytes())
    assert write_movie(tmp_path / "out.mp4", steady(50), AudioCut(tmp_path / "in.wav")).startswith("aac")
    info = probe(tmp_path / "out.mp4").audio
    assert info is not None
    assert info.channels == 1
    assert abs(click_time_s(tmp_path / "out.mp4") - CLICK_S) < MAX_CLICK_ERROR_S


@pytest.mark.parametrize(
    ("name", "codec"), [("in.m4a", "aac"), ("in.mp3", "libmp3lame"), ("in.ogg", "libopus"), ("in.wav", "pcm_s16le")]
)
@pytest.mark.parametrize("pictures", [5, 100], ids=["longer than the pictures", "shorter than the pictures"])
def test_all_of_the_sound_is_written(tmp_path: Path, name: str, codec: str, pictures: int) -> None:
    source = write_sound(tmp_path / name, codec, 48000, click(48000, 2, duration_s=2.5))
    write_movie(tmp_path / "out.mp4", steady(pictures), AudioCut(source))
    assert sound_duration_s(tmp_path / "out.mp4") == Fraction(5, 2)


@pytest.mark.parametrize(("name", "codec"), [("in.m4a", "aac"), ("in.wav", "pcm_s16le")])
def test_the_cut_ends_the_sound(tmp_path: Path, name: str, codec: str) -> None:
    source = write_sound(tmp_path / name, codec, 44100, click(44100, 2, duration_s=3.0))
    end_s = Fraction(8, 5)
    write_movie(tmp_path / "out.mp4", steady(60), AudioCut(source, Fraction(0), end_s))
    assert abs(sound_duration_s(tmp_path / "out.mp4") - end_s) < Fraction(1, 20000)
    assert abs(click_time_s(tmp_path / "out.mp4") - click_time_s(source)) < MAX_CLICK_ERROR_S


@pytest.mark.parametrize(("name", "codec"), [("in.m4a", "aac"), ("in.wav", "pcm_s16le")])
def test_a_later_start_is_cut_to_the_sample_and_encoded(tmp_path: Path, name: str, codec: str) -> None:
    source = write_sound(tmp_path / name, codec, 44100, click(44100, 2, duration_s=3.0))
    start_s = Fraction(7, 11)
    assert write_movie(tmp_path / "out.mp4", steady(30), AudioCut(source, start_s)) == "aac 224 kb/s"
    assert abs(click_time_s(tmp_path / "out.mp4") - (CLICK_S - float(start_s))) < MAX_CLICK_ERROR_S


def test_a_hole_in_the_sound_becomes_silence(tmp_path: Path) -> None:
    """A copy would keep the hole, and some players skip it, so that all sound after it comes early."""
    rate_hz = 48000
    hole = (10 * AAC_BLOCK, 30 * AAC_BLOCK)
    source = write_sound_with_hole(tmp_path / "in.m4a", rate_hz, click(rate_hz, 1), hole)
    assert write_movie(tmp_path / "out.mp4", steady(50), AudioCut(source)) == "aac 112 kb/s"
    assert len(sound_packets(tmp_path / "out.mp4")) >= 2 * rate_hz // AAC_BLOCK
    assert abs(click_time_s(tmp_path / "out.mp4") - CLICK_S) < MAX_CLICK_ERROR_S


def test_sound_and_pictures_lie_side_by_side(tmp_path: Path) -> None:
    """A player of a stream, and the writer's memory, need both at the same pace; x264 may look ahead two seconds."""
    source = write_sound(tmp_path / "in.wav", "pcm_s16le", 16000, tone(16000, 1, 20.0))
    write_movie(tmp_path / "out.mp4", steady(500), AudioCut(source))
    reached_s = {"video": 0.0, "audio": 0.0}
    with av.open(str(tmp_path / "out.mp4")) as container:
        packets = [packet for packet in container.demux() if packet.size]
        for packet in sorted(packets, key=lambda packet: packet.pos):
            reached_s[packet.stream.type] = float(packet.dts * packet.time_base)
            assert abs(reached_s["video"] - reached_s["audio"]) < 1.5


def test_a_movie_may_be_silent(tmp_path: Path) -> None:
    assert write_movie(tmp_path / "out.mp4", steady(5)) == "none"
    assert probe(tmp_path / "out.mp4").audio is None


def test_encoding_and_muxing_are_timed(tmp_path: Path) -> None:
    clock = StageClock()
    source = write_sound(tmp_path / "in.wav", "pcm_s16le", 44100, tone(44100, 2, 2.0))
    with MovieWriter(tmp_path / "out.mp4", spec(), EncoderOptions(), MovieTracks(AudioCut(source)), clock) as movie:
        for index in range(50):
            movie.write(picture(index), index, 1)
    rows = {row.stage: row for row in clock.timings()}
    assert rows["encode"].items == 50
    assert rows["encode"].cpu_s > 0
    assert rows["mux"].cpu_s > 0


@pytest.mark.parametrize("stop", [RuntimeError, KeyboardInterrupt, SystemExit, GeneratorExit])
def test_nothing_is_left_when_the_block_fails(tmp_path: Path, stop: type[BaseException]) -> None:
    source = write_sound(tmp_path / "in.m4a", "aac", 44100, tone(44100, 2, 2.0))
    with (
        pytest.raises(stop),
        MovieWriter(
            tmp_path / "out.mp4",
            spec(),
            EncoderOptions(preset="ultrafast"),
            MovieTracks(AudioCut(source)),
            StageClock(),
        ) as movie,
    ):
        for index in range(100):
            movie.write(picture(index), index, 1)
        raise stop
    assert [path.name for path in tmp_path.iterdir()] == ["in.m4a"]


@pytest.mark.parametrize("cut", ["no sound", "start after the end"])
def test_nothing_is_left_when_there_is_no_sound(tmp_path: Path, cut: str) -> None:
    source = write_sound(tmp_path / "in.wav", "pcm_s16le", 16000, tone(16000, 1, 1.0))
    if cut == "no sound":
        write_movie(tmp_path / "silent.mp4", steady(5))
        audio = AudioCut(tmp_path / "silent.mp4")
    else:
        audio = AudioCut(source, Fraction(2))
    before = sorted(tmp_path.iterdir())
    with pytest.raises(NoAudioError):
        write_movie(tmp_path / "out.mp4", steady(5), audio)
    assert sorted(tmp_path.iterdir()) == before


def test_writing_fails_when_there_is_no_picture(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="no picture"):
        write_movie(tmp_path / "out.mp4", [])
    assert list(tmp_path.iterdir()) == []


def test_writing_fails_when_there_is_no_such_encoder(tmp_path: Path) -> None:
    with pytest.raises(OptionError, match="h266"):
        MovieWriter(tmp_path / "out.mp4", spec(), EncoderOptions("h266"), MovieTracks(), StageClock())
    assert list(tmp_path.iterdir()) == []


def test_writing_fails_when_times_run_backwards(tmp_path: Path) -> None:
    with pytest.raises(OutputError):
        write_movie(tmp_path / "out.mp4", [(0, 1), (5, 1), (3, 1), (3, 1), (2, 1)])
    assert list(tmp_path.iterdir()) == []


@contextmanager
def largest_file(size_bytes: int) -> Iterator[None]:
    """The system refuses to let any file grow beyond `size_bytes`, as a full disk would."""
    before, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size_bytes, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (before, hard))


@pytest.mark.parametrize("share", [0.0, 0.1, 0.6, 0.999], ids=lambda share: f"at {share:.1%}")
def test_nothing_is_left_when_the_disk_fills_up(tmp_path: Path, share: float) -> None:
    """The last share leaves room for everything but the index, which is moved to the front at the very end."""
    source = write_sound(tmp_path / "in.m4a", "aac", 44100, tone(44100, 2, 2.0))
    folder = tmp_path / "full"
    folder.mkdir()
    write_movie(folder / "whole.mp4", steady(50), AudioCut(source))
    size_bytes = (folder / "whole.mp4").stat().st_size
    (folder / "whole.mp4").unlink()
    with pytest.raises(DiskFullError) as failure, largest_file(int(size_bytes * share)):
        write_movie(folder / "out.mp4", steady(50), AudioCut(source))
    assert failure.value.code == "DISK_FULL"
    assert "out.mp4" in failure.value.message
    assert list(folder.iterdir()) == []


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 256 KiB."""
    disk = tmp_path / "disk"
    disk.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=256k", "none", str(disk)]
    if os.geteuid() != 0 or subprocess.run(command, capture_output=True, check=False).returncode != 0:
        pytest.skip("mounting a small disk needs root; the file size limit above tests the same path")
    yield disk
    subprocess.run(["umount", str(disk)], check=True)


@pytest.mark.parametrize("free_bytes", [4096, 110_000])
def test_nothing_is_left_on_a_full_disk(small_disk: Path, free_bytes: int) -> None:
    (small_disk / "other").write_bytes(bytes(256 * 1024 - free_bytes))
    with limited(Limits(min_free_bytes=1)), pytest.raises(DiskFullError):
        write_movie(small_disk / "out.mp4", steady(60))
    assert [path.name for path in small_disk.iterdir()] == ["other"]


def test_an_interrupt_from_outside_leaves_nothing(tmp_path: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from tests.media.test_mux import *\n"
        "def times():\n"
        "    for index in range(10**9):\n"
        "        yield index, 1\n"
        "        if index == 50: print('writing', flush=True)\n"
        "write_movie(Path(sys.argv[1]), times())\n"
    )
    command = [sys.executable, "-c", code, str(tmp_path / "out.mp4")]
    root = Path(__file__).parents[2]
    with subprocess.Popen(command, cwd=root, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as child:
        assert child.stdout is not None
        assert child.stdout.readline() == "writing\n"
        assert len(list(tmp_path.iterdir())) == 1
        child.send_signal(signal.SIGINT)
        assert child.wait(timeout=60) != 0
    assert list(tmp_path.iterdir()) == []
