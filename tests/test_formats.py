"""Every common kind of input in a whole job: the result plays everywhere, and `docs/formats.md` says what became of it.

`WRITE_FORMATS=1 pytest tests/test_formats.py -n 0` writes the table anew.
"""

from __future__ import annotations  # conftest.py is no module of its own

from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import av
import pytest
from playwright.sync_api import Browser

from lipsync_core import JobOptions, Workspace, lip_sync
from tests.browsers import open_browser
from tests.conftest import Ffmpeg
from tests.format_table import check_row
from tests.media.test_soundtrack_players import played
from tests.playable import faults
from tests.servers import starts_servers
from tests.thorough import first_of

pytestmark = starts_servers
SECTION = "Whole jobs"


@dataclass(frozen=True, slots=True)
class Case:
    """A kind of input: the picture's settings for ffmpeg, and perhaps those of its own sound."""

    label: str
    name: str
    settings: tuple[str, ...]
    sound: tuple[str, ...] = ()  # of its own sound; without any the demo's speech is given

    @property
    def is_still(self) -> bool:
        return self.settings[:2] == ("-frames:v", "1")


def hdr(transfer: str) -> tuple[str, ...]:
    params = f"colorprim=bt2020:transfer={transfer}:colormatrix=bt2020nc:log-level=none"
    return ("-c:v", "libx265", "-pix_fmt", "yuv420p10le", "-x265-params", params)


X264 = ("-c:v", "libx264", "-crf", "8")
WEAVE = "setpts=0.5*PTS,fps=50,scale=1024:576,tinterlace=mode=interleave_top,fieldorder=tff"
PRORES = ("-c:v", "prores_ks")
STILL = ("-frames:v", "1")
CASES = (
    Case("H.264, MP4", "plain.mp4", (*X264, "-pix_fmt", "yuv420p")),
    Case("H.264, full range", "full.mp4", (*X264, "-pix_fmt", "yuvj420p")),
    Case("H.264, 4:4:4", "whole.mp4", (*X264, "-pix_fmt", "yuv444p")),
    Case("H.264, 10 bits, 4:2:2", "deep.mkv", (*X264, "-pix_fmt", "yuv422p10le")),
    Case("H.264, RGB", "rgb.mkv", ("-c:v", "libx264rgb", "-crf", "8")),
    Case("H.264, grey", "grey.mp4", (*X264, "-pix_fmt", "gray")),
    Case("HEVC, HLG (a phone's HDR)", "hlg.mov", hdr("arib-std-b67")),
    Case("HEVC, PQ (HDR10)", "pq.mp4", hdr("smpte2084")),
    Case("ProRes 4:2:2", "edit.mov", (*PRORES, "-pix_fmt", "yuv422p10le")),
    Case(
        "ProRes 4:4:4 with alpha", "alpha.mov", ("-c:v", "prores_ks", "-profile:v", "4444", "-pix_fmt", "yuva444p10le")
    ),
    Case("MJPEG (a webcam), AVI", "webcam.avi", ("-c:v", "mjpeg", "-pix_fmt", "yuvj422p", "-q:v", "2")),
    Case("MPEG-2, transport stream", "cast.ts", ("-c:v", "mpeg2video", "-q:v", "2")),
    Case("H.264, 576i", "fields.mp4", (*X264, "-flags", "+ilme+ildct", "-x264-params", "tff=1", "-vf", WEAVE)),
    Case("MPEG-4 part 2, AVI", "old.avi", ("-c:v", "mpeg4", "-q:v", "2")),
    Case("VP9, WebM", "web.webm", ("-c:v", "libvpx-vp9", "-deadline", "realtime", "-crf", "20", "-b:v", "0")),
    Case("AV1, MP4", "new.mp4", ("-c:v", "libaom-av1", "-cpu-used", "8", "-crf", "20")),
    Case("FFV1, 12 bits, 4:4:4", "archive.mkv", ("-c:v", "ffv1", "-pix_fmt", "yuv444p12le")),
    Case("GIF", "loop.gif", ("-vf", "scale=320:180,fps=10")),
    Case("odd size, 601x337", "odd.mkv", ("-c:v", "ffv1", "-pix_fmt", "yuv444p", "-vf", "crop=601:337:0:0:exact=1")),
    Case("24000/1001 frames/s", "film.mp4", ("-r", "24000/1001", *X264)),
    Case("60 frames/s", "quick.mp4", ("-r", "60", *X264)),
    Case("12 frames/s", "slow.mp4", ("-r", "12", *X264)),
    Case("a slide show, 2 frames/s", "slides.mp4", ("-r", "2", *X264)),
    Case("JPEG", "photo.jpg", (*STILL, "-pix_fmt", "yuvj444p", "-q:v", "2")),
    Case("PNG", "photo.png", STILL),
    Case("WebP", "photo.webp", (*STILL, "-c:v", "libwebp")),
    Case("picture .4 s after the sound", "late.mkv", (*X264,), ("-c:a", "pcm_s16le")),
    Case("AAC-LC", "aac.mp4", X264, ("-c:a", "aac", "-ac", "2")),
    Case("MP3", "mp3.mkv", X264, ("-c:a", "libmp3lame", "-ac", "2")),
    Case("Opus", "opus.webm", ("-c:v", "libvpx", "-b:v", "2M"), ("-c:a", "libopus", "-ac", "2")),
    Case("Vorbis", "vorbis.mkv", X264, ("-c:a", "libvorbis", "-ac", "2")),
    Case("FLAC, 96 kHz", "flac.mkv", X264, ("-c:a", "flac", "-ar", "96000")),
    Case("AC-3, 5.1", "ac3.mkv", X264, ("-c:a", "ac3", "-ac", "6")),
    Case("E-AC-3", "eac3.mp4", X264, ("-c:a", "eac3", "-ac", "2")),
    Case("ALAC", "alac.mov", X264, ("-c:a", "alac", "-ac", "2")),
    Case("PCM, 7.1", "wide.mkv", X264, ("-c:a", "pcm_s16le", "-ac", "8")),
    Case("PCM, 8 kHz, 8 bits", "phone.avi", ("-c:v", "mpeg4"), ("-c:a", "pcm_u8", "-ar", "8000", "-ac", "1")),
)
ORDER = [case.label for case in CASES]


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with open_browser() as opened:
        yield opened


def made(case: Case, face_clip: Path, speech: Path, folder: Path, ffmpeg: Ffmpeg) -> Path:
    """The input of a case."""
    path = folder / case.name
    delay = ("-itsoffset", "0.4") if case.name == "late.mkv" else ()
    frames = () if case.is_still else ("-t", "0.6")
    sound = ("-t", "0.6", "-i", speech, *case.sound) if case.sound else ("-an",)
    ffmpeg(*delay, "-i", face_clip, *sound, *frames, *case.settings, path)
    return path


def movie_cells(output: Path) -> tuple[str, str, str]:
    """Size and format, rate, and sound of a movie, as the table has them, from the re-opened file."""
    with av.open(str(output)) as container:
        video, sound = container.streams.video[0], container.streams.audio[0]
        codec, heard = video.codec_context, sound.codec_context
        pts = [frame.pts * frame.time_base for frame in container.decode(video)]
        rate = Fraction(len(pts) - 1) / (pts[-1] - pts[0])
        picture = f"{codec.width}x{codec.height} {codec.profile} {codec.pix_fmt}, level {codec.level / 10:g}"
        said = f"AAC-{heard.profile}, {heard.layout.name}, {heard.sample_rate / 1000:g} kHz"
    return picture, f"{float(rate):.3g}", said


@pytest.mark.parametrize("case", first_of(CASES, 20), ids=lambda case: case.name)
def test_what_becomes_of_an_input_is_what_the_table_says(
    case: Case,
    face_clip: Path,
    speech_wav: Path,
    workspace: Workspace,
    tmp_path: Path,
    ffmpeg: Ffmpeg,
    browser: Browser,
) -> None:
    source = made(case, face_clip, speech_wav, tmp_path, ffmpeg)
    output = tmp_path / "out.mp4"
    report = lip_sync(source, source if case.sound else speech_wav, output, JobOptions(end_s=Fraction(1)), workspace)
    assert report.frames.synced > 0
    assert faults(output) == []
    seconds, picture_bytes, sound_bytes = played(browser, output)
    assert seconds > 0 and picture_bytes > 0 and sound_bytes > 0
    changed = "; ".join(report.changes) or "–"
    check_row(SECTION, f"| {case.label} | {' | '.join(movie_cells(output))} | {changed} |", ORDER)
