"""The trial of decoding hardware: the first pictures of a job's own video, compared with those of the CPU."""

from itertools import islice
from pathlib import Path

import numpy as np

from lipsync_core.clock import StageClock
from lipsync_core.errors import InputError, UnreadableMediaError
from lipsync_core.media.ffmpeg_log import error_log, reasons
from lipsync_core.media.planes import plane_samples
from lipsync_core.media.stream import PictureStream
from lipsync_core.media.working import PictureConverter

_PICTURES = 3
_Planes = list[np.ndarray]  # of one picture, (H, W) uint8 or uint16 each


def try_decoder(path: Path, decoder: str, track: str | None = None) -> None:
    """Decode the first pictures of the track `track` of `path` with the hardware of `decoder`, and on the CPU.

    The trial may start a GPU: call it in the process that decodes, not in one that forks.

    Raises:
        UnreadableMediaError: the hardware does not start, does not take this video, or gives other pictures.
        InputError: as `probe.probe`.
    """
    with error_log() as lines:
        try:
            decoded = _first_pictures(path, decoder, track)
        except InputError as exc:
            raise UnreadableMediaError(reasons(lines) or exc.message) from exc
    expected = _first_pictures(path, "cpu", track)
    if not expected or len(decoded) != len(expected) or not all(map(_is_same, decoded, expected)):
        raise UnreadableMediaError("its pictures are not those of the CPU")


def _first_pictures(path: Path, decoder: str, track: str | None) -> list[_Planes]:
    """In the working format, which both have in common."""
    with PictureStream(path, StageClock(), decoder, has_fallback=False, track=track) as stream:
        pictures = list(islice(stream, _PICTURES))
    converted = [PictureConverter(picture).convert(picture) for picture in pictures]
    return [[plane_samples(each, plane).copy() for plane in range(len(each.planes))] for each in converted]


def _is_same(decoded: _Planes, expected: _Planes) -> bool:
    return len(decoded) == len(expected) and all(map(np.array_equal, decoded, expected))
