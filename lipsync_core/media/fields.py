"""Interlaced video: whether two fields of different moments are woven into its pictures, and how they become whole.

FFmpeg's `bwdif` makes one whole picture of each, at the time of its first field. It looks at the pictures before and
after, so a reader that seeks has to begin some pictures earlier (`CONTEXT_FRAMES`).
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from itertools import islice

import av
import numpy as np
from av.filter import Graph
from numpy.typing import NDArray

from lipsync_core.media.planes import plane_samples

CONTEXT_FRAMES = 3
_LOOKED_AT = 16  # pictures from the first one on
#: Heights in which interlaced video is made; others are looked at where the file says that they are.
_HEIGHTS = frozenset({480, 486, 512, 576, 608, 1080, 1088})
_COMB = 12.0  # of 255: a line that differs so far from both neighbours, in one direction, is a tooth of a comb
_COMBED, _OVER_TEXTURE = 0.004, 3.0  # share of such pixels, and how many times that within one field
_COMBED_SHARE = 0.25  # of the pictures
_STILL = 0.7  # of 255: pictures that differ by less show no movement, and so no comb


def may_be_woven(height_px: int, is_said: bool) -> bool:
    """Whether a video of this height is worth a look; `is_said`: the file says that it is interlaced."""
    return is_said or height_px in _HEIGHTS


def is_woven(pictures: Iterable[av.VideoFrame]) -> bool:
    """Whether the first `pictures` of a video, as decoded, are woven of two fields.

    What is seen counts: a file that says so but shows whole pictures in movement is progressive, and one that does not
    say so may be woven. Where nothing moves, the file is believed.
    """
    combed, whole, is_said = 0, 0, False
    before: NDArray[np.float32] | None = None
    for picture in islice(pictures, _LOOKED_AT):
        is_said = is_said or picture.interlaced_frame
        if not picture.format.is_planar:
            return False
        scale = np.float32(1 / (1 << max(0, picture.format.components[0].bits - 8)))
        luma = plane_samples(picture, 0).astype(np.float32) * scale
        moves = before is not None and float(np.abs(luma - before).mean()) > _STILL
        is_comb = _is_combed(luma)
        combed += is_comb
        whole += moves and not is_comb
        before = luma
    if not is_said:
        return combed > _COMBED_SHARE * _LOOKED_AT
    return combed > 0 or whole == 0


def keep_one_field(picture: av.VideoFrame) -> None:
    """Draw every other line of a planar picture anew, from the lines around it, in place: one moment is left of two.

    It serves where a picture is looked at by itself; `deinterlaced` sees more, and needs its neighbours.
    """
    picture.make_writable()
    for at in range(len(picture.planes)):
        samples = plane_samples(picture, at)
        kept = samples[::2].astype(np.uint32)
        samples[1 : 2 * len(kept) - 2 : 2] = (kept[:-1] + kept[1:]) // 2


def _is_combed(luma: NDArray[np.float32]) -> bool:
    """Whether neighbouring lines of (h, w) samples differ as those of two moments do."""
    woven, texture = _teeth(luma), max(_teeth(luma[::2]), _teeth(luma[1::2]))
    return woven > _COMBED and woven > _OVER_TEXTURE * texture


def _teeth(luma: NDArray[np.float32]) -> float:
    """The share of samples that stand out from the lines above and below."""
    above, here, below = luma[:-2], luma[1:-1], luma[2:]
    return float(((here - above) * (here - below) > _COMB**2).mean()) if len(here) else 0.0


@dataclass(frozen=True, slots=True)
class _Times:
    """Of one picture, before the filter counts anew."""

    pts: int | None
    duration: int
    time_base: Fraction | None


def deinterlaced(pictures: Iterator[av.VideoFrame]) -> Iterator[av.VideoFrame]:
    """Whole pictures of woven ones, one for each, with their times."""
    graph: Graph | None = None
    shape: tuple[str, int, int] | None = None
    waiting: list[_Times] = []  # of the pictures in the filter
    for picture in pictures:
        if graph is None or shape != (picture.format.name, picture.width, picture.height):  # broadcasts change it
            yield from _rest(graph, waiting)
            graph, shape = _opened(picture), (picture.format.name, picture.width, picture.height)
        waiting.append(_Times(picture.pts, picture.duration or 0, picture.time_base))
        graph.push(picture)
        yield from _pulled(graph, waiting)
    yield from _rest(graph, waiting)


def _rest(graph: Graph | None, waiting: list[_Times]) -> Iterator[av.VideoFrame]:
    if graph is not None:
        graph.push(None)
        yield from _pulled(graph, waiting)


def _opened(picture: av.VideoFrame) -> Graph:
    graph = Graph()
    graph.threads = 1
    source = graph.add(
        "buffer",
        f"video_size={picture.width}x{picture.height}:pix_fmt={picture.format.name}:time_base=1/1000:pixel_aspect=1/1",
    )
    woven, sink = graph.add("bwdif", "mode=send_frame:parity=auto:deint=all"), graph.add("buffersink")
    source.link_to(woven)
    woven.link_to(sink)
    graph.configure()
    return graph


def _pulled(graph: Graph, waiting: list[_Times]) -> Iterator[av.VideoFrame]:
    while waiting:
        try:
            whole = graph.pull()
        except (av.error.BlockingIOError, av.error.EOFError):
            return
        if not isinstance(whole, av.VideoFrame):
            raise TypeError(f"the filter gave a {type(whole).__name__}")
        times = waiting.pop(0)
        whole.pts, whole.duration = times.pts, times.duration
        if times.time_base is not None:
            whole.time_base = times.time_base
        yield whole
