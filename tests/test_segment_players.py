"""A browser that seeks in a movie from segments shows the frame of that time, beside joins as well."""

from __future__ import annotations  # conftest.py is no module of its own

import io
from collections.abc import Callable, Iterator
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import Browser, Page

from tests.browsers import open_browser
from tests.servers import starts_servers
from tests.test_segment_work import FINE, Both, both

__all__ = ["both"]  # a fixture

pytestmark = starts_servers
FRAMES, RATE = 60, 25
BITS, SIDE_PX = 6, 24  # of a frame's number, in black and white squares along the upper edge
SOUGHT = """
async seconds => {
    const video = document.querySelector("video");
    const shown = new Promise(done => video.requestVideoFrameCallback(done));
    video.currentTime = seconds;
    await shown;
    await new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)));
}
"""


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with open_browser() as opened:
        yield opened


def write_numbered(source: Path, target: Path) -> None:
    """The frames of `source`, each with its number."""
    with av.open(str(source)) as read, av.open(str(target), "w") as written:
        stream = written.add_stream("libx264", rate=RATE, options={"crf": "4", "preset": "ultrafast"})
        for number, frame in zip(range(FRAMES), _endless(read), strict=False):
            pixels = frame.copy()
            for bit in range(BITS):
                pixels[:SIDE_PX, bit * SIDE_PX : (bit + 1) * SIDE_PX] = 255 if number >> bit & 1 else 0
            if not number:
                stream.height, stream.width = pixels.shape[:2]
            written.mux(stream.encode(av.VideoFrame.from_ndarray(pixels, "rgb24")))
        written.mux(stream.encode())


def _endless(container: av.container.InputContainer) -> Iterator[np.ndarray]:
    frames = [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]
    while True:
        yield from frames


def number_of(page: Page) -> int:
    """The number of the frame that the page shows."""
    picture = np.asarray(Image.open(io.BytesIO(page.locator("video").screenshot())).convert("L"))
    middle = SIDE_PX // 2
    return sum((picture[middle, bit * SIDE_PX + middle] > 127) << bit for bit in range(BITS))


def test_seeking_shows_the_right_frame(
    browser: Browser, both: Callable[..., Both], face_clip: Path, speech_wav: Path, tmp_path: Path
) -> None:
    film = tmp_path / "film.mp4"
    write_numbered(face_clip, film)
    made = both(film, speech_wav, replace(FINE, end_s=Fraction(FRAMES, RATE)))
    assert len(made.segments) == 3
    page_file = tmp_path / "page.html"
    page_file.write_text(f'<body style="margin:0"><video muted src="{made.joined.name}"></video>')
    joins = [frame for segment in made.segments[1:] for frame in (segment.start - 1, segment.start, segment.start + 1)]
    page = browser.new_page(viewport={"width": 1280, "height": 800})
    page.goto(page_file.as_uri())
    for number in (*joins, 0, RATE, 2 * RATE, FRAMES - 1, 7):
        page.evaluate(SOUGHT, (number + 0.5) / RATE)
        assert number_of(page) == number
    page.close()
