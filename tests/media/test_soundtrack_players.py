"""The sound of default outputs plays in a browser, which knows no AC-3, ALAC or HE-AAC of its own."""

from __future__ import annotations  # conftest.py is no module of its own

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import av
import pytest
from playwright.sync_api import Browser

from lipsync_core.media.sound import AudioCut
from tests.browsers import open_browser
from tests.media.test_soundtrack import write_movie
from tests.servers import starts_servers
from tests.sounds import many_tones

if TYPE_CHECKING:
    from tests.conftest import Ffmpeg

pytestmark = starts_servers
PLAYED = """
async () => {
    const video = document.querySelector("video");
    await video.play();
    while (!video.ended && video.currentTime < 0.6) await new Promise(done => setTimeout(done, 20));
    return [video.currentTime, video.webkitVideoDecodedByteCount, video.webkitAudioDecodedByteCount];
}
"""


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with open_browser() as opened:
        yield opened


def played(browser: Browser, movie: Path) -> tuple[float, int, int]:
    """Seconds played, bytes of picture and bytes of sound decoded."""
    page_file = movie.with_suffix(".html")
    page_file.write_text(f'<video muted src="{movie.name}"></video>')
    page = browser.new_page()
    try:
        page.goto(page_file.as_uri())
        seconds, picture_bytes, sound_bytes = page.evaluate(PLAYED)
        return seconds, picture_bytes, sound_bytes
    finally:
        page.close()


@pytest.mark.parametrize("ending", [".mp4", ".mov"])
@pytest.mark.parametrize(
    ("name", "codec", "layout"),
    [
        ("in.m4a", "aac", "stereo"),
        ("in.mp3", "libmp3lame", "stereo"),
        ("in.opus", "libopus", "stereo"),
        ("in.flac", "flac", "mono"),
        ("in.ac3", "ac3", "5.1"),
        ("in.eac3", "eac3", "5.1"),
        ("alac.m4a", "alac", "stereo"),
        ("in.m4a", "aac", "7.1"),
        ("in.wav", "pcm_s16le", "7.1"),
    ],
)
def test_a_browser_plays_picture_and_sound(
    browser: Browser, ffmpeg: Ffmpeg, tmp_path: Path, name: str, codec: str, layout: str, ending: str
) -> None:
    source, output = tmp_path / name, tmp_path / f"out{ending}"
    tones_hz = range(300, 300 + 50 * av.AudioLayout(layout).nb_channels, 50)
    ffmpeg("-f", "lavfi", "-i", many_tones(tones_hz, layout), "-c:a", codec, source)
    write_movie(output, AudioCut(source), seconds=1.0)
    seconds, picture_bytes, sound_bytes = played(browser, output)
    assert seconds >= 0.6
    assert picture_bytes > 0
    assert sound_bytes > 0


@pytest.mark.parametrize(("name", "codec"), [("in.ac3", "ac3"), ("in.eac3", "eac3"), ("in.m4a", "alac")])
def test_a_browser_does_not_play_a_copy(
    browser: Browser, ffmpeg: Ffmpeg, tmp_path: Path, name: str, codec: str
) -> None:
    """So that the test above can fail."""
    source, output = tmp_path / name, tmp_path / "out.mp4"
    ffmpeg("-f", "lavfi", "-i", many_tones((300, 400), "stereo"), "-c:a", codec, source)
    write_movie(output, AudioCut(source), "copy", seconds=1.0)
    assert played(browser, output)[2] == 0
