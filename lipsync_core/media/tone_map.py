"""Tone mapping: pictures in HLG or PQ (ITU-R BT.2100) become standard ones (BT.709) for screens that show no HDR.

The mapping of a colour does not depend on its place, so it is a table of 33^3 colours, which FFmpeg's filter `lut3d`
applies. Light of up to half the reference white (203 nits, BT.2408) keeps its brightness; what is brighter comes closer
and closer to the screen's white: the reference white at 92 % of its signal, 1000 nits at 100 %.
"""

from pathlib import Path
from tempfile import TemporaryDirectory

import av
import numpy as np
from av.filter import Graph
from numpy.typing import NDArray

from lipsync_core.media.colour import BT709, FULL, HDR_NAMES, LIMITED, PQ
from lipsync_core.media.probe import ColourTags
from lipsync_core.media.working import WorkingPicture

BT709_TAGS = ColourTags(matrix=BT709, range=LIMITED, primaries=1, transfer=1)
_SIDE = 33  # of the table
_WHITE_NITS, _PEAK_NITS = 203.0, 1000.0
_KNEE = 0.5  # of the reference white
_HLG_GAMMA = 1.2  # BT.2100-2, table 5, for a screen of 1000 nits
_LUMA_2020 = np.array([0.2627, 0.6780, 0.0593])
#: Linear light of BT.2020 primaries to those of BT.709 (BT.2087-0, annex 2, inverted).
_TO_709 = np.array([[1.6605, -0.5876, -0.0728], [-0.1246, 1.1329, -0.0083], [-0.0182, -0.1006, 1.1187]])
_SCREEN_GAMMA = 2.4  # BT.1886


def is_hdr(picture: WorkingPicture) -> bool:
    """Whether the picture is in HLG or PQ."""
    return picture.colour.transfer in HDR_NAMES


class ToneMapper:
    """Maps the pictures of one movie."""

    def __init__(self, source: WorkingPicture, picture: WorkingPicture) -> None:
        self._source, self._picture = source, picture
        with TemporaryDirectory(prefix="lipsync-tone-") as folder:  # FFmpeg takes the table from a file
            table = Path(folder, "table.cube")
            table.write_text(_cube(source.colour.transfer), encoding="ascii")
            self._graph = self._opened(table)

    def convert(self, picture: av.VideoFrame) -> av.VideoFrame:
        """`picture` in BT.709, without its times."""
        picture.pts = None
        self._graph.push(picture)
        mapped = self._graph.pull()
        if not isinstance(mapped, av.VideoFrame):
            raise TypeError(f"the filters gave a {type(mapped).__name__}")
        tags = self._picture.colour
        mapped.colorspace, mapped.color_range = tags.matrix, tags.range
        mapped.color_primaries, mapped.color_trc = tags.primaries, tags.transfer
        return mapped

    def _opened(self, table: Path) -> Graph:
        source, picture = self._source, self._picture
        in_range = "full" if source.colour.range == FULL else "limited"
        size = f"w={picture.width_px}:h={picture.height_px}:flags=bicubic+accurate_rnd+full_chroma_int"
        chain = (
            ("scale", f"{size}:in_color_matrix=bt2020:in_range={in_range}:out_range=full"),
            ("format", "gbrp10le"),
            ("lut3d", f"file={_escaped(table)}:interp=tetrahedral"),
            ("scale", "flags=bicubic+accurate_rnd:out_color_matrix=bt709:out_range=limited"),
            ("format", picture.pix_fmt),
        )
        graph = Graph()
        graph.threads = 1
        last = graph.add(
            "buffer",
            f"video_size={source.width_px}x{source.height_px}:pix_fmt={source.pix_fmt}:time_base=1/25:pixel_aspect=1/1"
            f":colorspace={_matrix_name(source)}:range={'pc' if source.colour.range == FULL else 'tv'}",
        )
        for name, settings in chain:
            step = graph.add(name, settings)
            last.link_to(step)
            last = step
        last.link_to(graph.add("buffersink"))
        graph.configure()
        return graph


def _cube(transfer: int) -> str:
    """The table as a file in Adobe's format: red changes fastest."""
    steps = np.linspace(0.0, 1.0, _SIDE)
    blue, green, red = np.meshgrid(steps, steps, steps, indexing="ij")
    colours = tone_mapped(np.stack([red, green, blue], -1).reshape(-1, 3), transfer)
    rows = "\n".join(f"{r:.6f} {g:.6f} {b:.6f}" for r, g, b in colours)
    return f"LUT_3D_SIZE {_SIDE}\n{rows}\n"


def tone_mapped(colours: NDArray[np.float64], transfer: int) -> NDArray[np.float64]:
    """(N, 3) R'G'B' of BT.709, 0..1, for (N, 3) R'G'B' of BT.2020, 0..1, in PQ (16) or HLG (18)."""
    nits = _pq_to_nits(colours) if transfer == PQ else _hlg_to_nits(colours)
    light = nits / _WHITE_NITS
    brightest = np.maximum(light.max(1, keepdims=True), 1e-9)
    light = (light * _compressed(brightest) / brightest) @ _TO_709.T  # the hue stays
    signal: NDArray[np.float64] = light.clip(0.0, 1.0) ** (1 / _SCREEN_GAMMA)
    return signal


def _pq_to_nits(signal: NDArray[np.float64]) -> NDArray[np.float64]:
    """The EOTF of BT.2100-2, table 4."""
    m1, m2, c1, c2, c3 = 2610 / 16384, 2523 / 4096 * 128, 3424 / 4096, 2413 / 4096 * 32, 2392 / 4096 * 32
    power = signal ** (1 / m2)
    nits: NDArray[np.float64] = 10_000 * (np.maximum(power - c1, 0.0) / (c2 - c3 * power)) ** (1 / m1)
    return nits


def _hlg_to_nits(signal: NDArray[np.float64]) -> NDArray[np.float64]:
    """The inverse OETF and the OOTF of BT.2100-2, table 5, for a screen of 1000 nits."""
    a, b, c = 0.17883277, 0.28466892, 0.55991073
    scene = np.where(signal <= 0.5, signal**2 / 3, (np.exp((signal - c) / a) + b) / 12)
    luma = np.maximum(scene @ _LUMA_2020, 1e-9)[:, None]
    nits: NDArray[np.float64] = _PEAK_NITS * luma ** (_HLG_GAMMA - 1) * scene
    return nits


def _compressed(light: NDArray[np.float64]) -> NDArray[np.float64]:
    """Light in units of the reference white to 0..1: as it is up to the knee, then ever slower, with no kink."""
    beyond = np.maximum(light - _KNEE, 0.0) / (1.0 - _KNEE)
    return np.minimum(light, _KNEE) + (1.0 - _KNEE) * (1.0 - np.exp(-beyond))


def _matrix_name(source: WorkingPicture) -> str:
    return {9: "bt2020nc", 10: "bt2020c", 1: "bt709"}.get(source.colour.matrix, "bt2020nc")


def _escaped(path: Path) -> str:
    """The path as a value of a filter's option (FFmpeg's documentation, "Notes on filtergraph escaping")."""
    return str(path).replace("\\", "\\\\").replace(":", "\\:").replace("'", "\\'")
