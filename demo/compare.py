"""Puts a source and its lip-synced result side by side, with the result's sound.

python demo/compare.py SOURCE OUT COMPARE.mp4
"""

import argparse
from collections.abc import Iterator
from pathlib import Path

import av
import numpy as np
from av.video.reformatter import ColorPrimaries, ColorRange, Colorspace, ColorTrc
from numpy.typing import NDArray

_HEIGHT_PX = 540
_X264 = {"crf": "20", "preset": "veryfast"}


def compare(source: Path, result: Path, out: Path) -> None:
    """Write `source` (left) beside `result` (right) at one height, matched by time, with the sound of `result`.

    A source that ends sooner keeps its last frame.
    """
    with av.open(str(source)) as left, av.open(str(result)) as right, av.open(str(out), "w") as movie:
        pictures = _matched(left, right)
        first = next(pictures)
        video = _add_video(movie, first, right.streams.video[0])
        sound = movie.add_stream_from_template(right.streams.audio[0])
        movie.mux(video.encode(first))
        for picture in pictures:
            movie.mux(video.encode(picture))
        movie.mux(video.encode(None))
        right.seek(0)
        for packet in right.demux(right.streams.audio[0]):
            if packet.dts is not None:
                packet.stream = sound
                movie.mux(packet)


def _add_video(movie: av.container.OutputContainer, picture: av.VideoFrame, like: av.VideoStream) -> av.VideoStream:
    stream = movie.add_stream("libx264", rate=like.average_rate, options=_X264)
    stream.width, stream.height, stream.pix_fmt = picture.width, picture.height, picture.format.name
    context = stream.codec_context
    context.time_base = like.time_base
    context.color_primaries, context.color_trc = ColorPrimaries.BT709, ColorTrc.BT709
    context.colorspace, context.color_range = Colorspace.ITU709, ColorRange.MPEG
    return stream


def _matched(left: av.container.InputContainer, right: av.container.InputContainer) -> Iterator[av.VideoFrame]:
    """Each picture of `right` beside the picture of `left` at the same time."""
    sources = left.decode(video=0)
    shown = upcoming = next(sources)
    for result in right.decode(video=0):
        while upcoming is not None and upcoming.time <= result.time:
            shown, upcoming = upcoming, next(sources, None)
        pair = av.VideoFrame.from_ndarray(np.hstack([_scaled(shown), _scaled(result)]), format="rgb24")
        joined = pair.reformat(format="yuv420p", dst_colorspace=Colorspace.ITU709, dst_color_range=ColorRange.MPEG)
        joined.pts, joined.time_base = result.pts, result.time_base
        yield joined


def _scaled(frame: av.VideoFrame) -> NDArray[np.uint8]:
    """(_HEIGHT_PX, even width, 3) RGB."""
    width_px = round(frame.width * _HEIGHT_PX / frame.height / 2) * 2
    return frame.to_ndarray(format="rgb24", width=width_px, height=_HEIGHT_PX)


def main() -> None:
    """Read the command line and write the comparison."""
    parser = argparse.ArgumentParser(description="Put a source and its lip-synced result side by side.")
    parser.add_argument("source", type=Path)
    parser.add_argument("result", type=Path)
    parser.add_argument("out", type=Path)
    options = parser.parse_args()
    compare(options.source, options.result, options.out)


if __name__ == "__main__":
    main()
