"""What is opened, and what is refused before it is read. `tests/hostile` has the whole corpus."""

from __future__ import annotations

import struct
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest

from lipsync_core.errors import OptionError, RefusedMediaError
from lipsync_core.limit_errors import IndexLimitError, MetadataLimitError
from lipsync_core.limits import Limits
from lipsync_core.media.allowed import Allowed, allowing
from lipsync_core.media.probe import probe, require_audio, video_of
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
