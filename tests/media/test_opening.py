"""What is opened, and what is refused before it is read. `tests/hostile` has the whole corpus."""

from __future__ import annotations

import struct
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest

from lipsync_core.errors import LimitError, OptionError, RefusedMediaError
from lipsync_core.limit_errors import IndexLimitError, MetadataLimitError
from lipsync_core.limits import Limits, limited
from lipsync_core.media.allowed import Allowed, allowing
from lipsync_core.media.probe import probe, require_audio, require_video, video_of
from lipsync_core.media.sound import AudioCut, decode_sound
from lipsync_core.structure.check import check_structure
from tests.hostile.boxes import box, full, id3, movie, numbers, png, raw_sound, raw_video, table, trak, wav
from tests.hostile.movies import with_alien_sound

if TYPE_CHECKING:
    from tests.conftest import Ffmpeg

SECOND = ("-f", "lavfi", "-i", "testsrc2=s=64x48:r=25:d=1")


def check(path: Path, content: bytes, limits: Limits | None = None) -> bool:
    path.write_bytes(content)
    with path.open("rb") as file:
        check_structure(file, len(content), limits or Limits())
    return True


def test_a_setting_allows_a_further_format(ffmpeg: Ffmpeg, tmp_path: Path) -> None:
    path = tmp_path / "video.nut"
    ffmpeg(*SECOND, "-c:v", "mpeg4", path)
    with pytest.raises(RefusedMediaError, match="FFmpeg's format 'nut', which is not read here"):
        probe(path)
    with allowing(Allowed().with_more("nut")):
        assert video_of(probe(path)).codec == "mpeg4"


def test_a_setting_allows_a_further_codec(ffmpeg: Ffmpeg, tmp_path: Path) -> None:
    path = tmp_path / "video.mkv"
    ffmpeg(*SECOND, "-c:v", "snow", path)
    with pytest.raises(RefusedMediaError, match="the codec snow is not read here"):
        probe(path)
    with allowing(Allowed().with_more(decoders="snow")):
        assert video_of(probe(path)).codec == "snow"


@pytest.mark.parametrize(("demuxers", "decoders"), [("hls", ""), ("concat", ""), ("nosuch", ""), ("", "nosuch")])
def test_a_setting_fails_when_it_names_no_format_or_one_that_opens_files(demuxers: str, decoders: str) -> None:
    with pytest.raises(OptionError, match="LIPSYNC_ALLOW_DE"):
        Allowed().with_more(demuxers, decoders)


def test_a_sound_without_a_decoder_is_left_out_and_named(tmp_path: Path) -> None:
    path = tmp_path / "alien.mov"
    path.write_bytes(with_alien_sound())
    info = probe(path)
    assert video_of(info).width_px == 4 and info.audio is None
    assert info.unreadable == ("audio stream 1: FFmpeg has no decoder for it",)
    with pytest.raises(RefusedMediaError, match="holds no audio that can be read: audio stream 1"):
        require_audio(path)


@pytest.mark.parametrize(("bits", "form"), [(32, "f"), (64, "d")])
def test_samples_that_are_no_numbers_become_silence_and_too_loud_ones_full_scale(
    bits: int, form: str, tmp_path: Path
) -> None:
    path = tmp_path / "odd.wav"
    values = (0.25, float("nan"), float("inf"), float("-inf"), 1e30, -0.5)
    path.write_bytes(wav(struct.pack(f"<6{form}", *values) * 1000, code=3, bits=bits))
    samples = np.concatenate([frame.to_ndarray().reshape(-1) for frame in decode_sound(AudioCut(path))])
    assert samples[:6].tolist() == [0.25, 0, 1, -1, 1, -0.5]


def test_an_hour_of_plain_sound_in_a_mov_is_within_the_limits(tmp_path: Path) -> None:
    samples = table(raw_sound(), 172_800_000, 2, delta=1, in_chunk=48_000)
    assert check(tmp_path / "hour.mov", movie(trak(samples, kind=b"soun")))


def test_samples_are_counted_over_all_tracks(tmp_path: Path) -> None:
    one = trak(table(raw_video(), 40, 1))
    entries = 2 * 40 + 4 * (3 + 2 * 15)  # a look at a box counts four
    check(tmp_path / "two.mp4", movie(one, one), Limits(max_index_entries=entries))
    with pytest.raises(IndexLimitError, match=f"more than {entries - 1} entries"):
        check(tmp_path / "two.mp4", movie(one, one), Limits(max_index_entries=entries - 1))


def test_texts_of_a_picture_are_added_up(tmp_path: Path) -> None:
    import zlib

    text = (b"zTXt", b"k\0\0" + zlib.compress(bytes(1000)))
    plain = (b"iTXt", b"k\0\0\0\0\0" + bytes(5000))
    check(tmp_path / "text.png", png(text, text, plain), Limits(max_metadata_bytes=2000))
    with pytest.raises(MetadataLimitError):
        check(tmp_path / "text.png", png(text, text, plain), Limits(max_metadata_bytes=1999))


def test_a_tag_without_compression_may_be_long(tmp_path: Path) -> None:
    tag = bytearray(id3([(b"TIT2", 1 << 30, bytes(100))]))
    with pytest.raises(MetadataLimitError):
        check(tmp_path / "tag.mp3", bytes(tag))
    tag[19] = 0  # the frame's flags
    check(tmp_path / "tag.mp3", bytes(tag))


def test_boxes_that_contain_themselves_end(tmp_path: Path) -> None:
    nested = box(b"free")
    for _ in range(2000):
        nested = box(b"moov", nested)
    assert check(tmp_path / "nested.mp4", nested)
    assert check(tmp_path / "short.mp4", full(b"ftyp", numbers(1))[:-3])


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"ffconcat version 1.0\nfile 'other.mp4'\n", "names other files or addresses"),
        (b"v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nc=IN IP4 127.0.0.1\nt=0 0\nm=audio 5004 RTP/AVP 96\n", "or addresses"),
        (b"#EXTM3U\nother.mp3\n", "is a playlist"),
    ],
)
def test_a_list_of_other_files_gets_no_remedy_that_cannot_help(content: bytes, said: str, tmp_path: Path) -> None:
    path = tmp_path / "list.mp4"
    path.write_bytes(content)
    with pytest.raises(RefusedMediaError, match=said) as caught:
        probe(path)
    assert caught.value.remedy == "give the media themselves, in one file"


def test_a_file_that_is_hardly_media_is_called_so(tmp_path: Path) -> None:
    path = tmp_path / "notes"  # as /sys/kernel/notes: it was "of FFmpeg's format 'another'"
    path.write_bytes(b"\x04\0\0\0\x14\0\0\0\x03\0\0\0GNU\0" + bytes(150))
    with pytest.raises(RefusedMediaError, match="is hardly media: to FFmpeg it looks most like ea_cdata, which is not"):
        probe(path)


@pytest.mark.parametrize(
    ("limits", "said", "remedy"),
    [
        (Limits(max_pixels=3000), "its picture has 64x48 pixels, more than 3000", "scale it down"),
        (Limits(max_channels=1), "its sound has 2 channels, more than 1", "mix it to 1 or fewer"),
        (Limits(max_sample_rate_hz=22_050), "its sound has 44100 samples a second", "convert it to 22050"),
        (Limits(min_sample_rate_hz=96_000), "its sound has 44100 samples a second", "convert it to 96000"),
        (Limits(min_sample_rate_hz=44_101), "its sound has 44100 samples a second", "convert it to 48000"),
    ],
)
def test_a_limit_of_a_stream_names_the_file_and_a_remedy_that_helps(
    limits: Limits, said: str, remedy: str, ffmpeg: Ffmpeg, tmp_path: Path
) -> None:
    path = tmp_path / "film.mkv"
    ffmpeg(*SECOND, "-f", "lavfi", "-i", "anoisesrc=r=44100:d=1", "-ac", "2", "-c:a", "pcm_s16le", path)
    for read in (probe, lambda file: list(decode_sound(AudioCut(file))) and require_video(file)):
        with limited(limits), pytest.raises(LimitError, match=f"^{path}: {said}") as caught:
            read(path)
        assert caught.value.remedy == remedy


def test_an_animated_webp_is_refused_by_its_name(tmp_path: Path) -> None:
    """FFmpeg opens it as a film without a picture, so the user was told to copy the whole file again."""
    from PIL import Image

    path = tmp_path / "moves.webp"
    first, second = (Image.new("RGB", (64, 48), colour) for colour in ("red", "blue"))
    first.save(path, save_all=True, append_images=[second])
    with pytest.raises(RefusedMediaError, match="is an animated WebP"):
        probe(path)
    first.save(path)
    assert video_of(probe(path)).is_still
