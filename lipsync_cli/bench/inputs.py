"""Makes inputs that differ from each other in every frame, so that no cache of a service flatters a measurement.

Each video is the given one, moved by some pixels, made brighter or darker, and perhaps mirrored; each sound is the
given one, made softer. Sizes, times and lengths stay the same.
"""

import secrets
import wave
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from uuid import uuid4

import av
import cv2
import numpy as np
from numpy.typing import NDArray

from lipsync_core.audio.load import SPEECH_RATE_HZ, SpeechReader
from lipsync_core.clock import StageClock
from lipsync_core.errors import NoVideoError, UnreadableMediaError

_SHIFTS_X, _SHIFTS_Y = 16, 8  # each moves the picture by two pixels more
_STEPS = 17  # of brightness, one code value each
_VARIANTS = 2 * _STEPS * _SHIFTS_X * _SHIFTS_Y
_STRIDE = 1597  # a prime, so that the walk meets every variant once
_CRF, _PRESET = "18", "veryfast"

Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class InputPair:
    """The two files of one request."""

    video: Path
    audio: Path


@dataclass(frozen=True, slots=True)
class _Variant:
    """One of the ways to change a picture; `index` counts them all."""

    index: int

    @property
    def is_mirrored(self) -> bool:
        return self.index % 2 == 1

    @property
    def brightness(self) -> int:
        """Added to the luma, in code values."""
        return self.index // 2 % _STEPS - _STEPS // 2

    @property
    def shift_px(self) -> tuple[int, int]:
        """To the left and upwards, both even; the edge is repeated."""
        place = self.index // (2 * _STEPS)
        return 2 * (place % _SHIFTS_X), 2 * (place // _SHIFTS_X)


def distinct_inputs(
    source: InputPair, folder: Path, count: int, seconds: float | None = None, say: Say = lambda text: None
) -> tuple[InputPair, ...]:
    """Write `count` pairs to `folder`; no two have the same pictures or the same sound, nor those of another call.

    Args:
        source: the video (its pictures alone are used) and the sound.
        folder: for the files; it exists.
        count: of pairs, 4352 at most.
        seconds: cuts both to this length.
        say: receives a line of progress.

    Raises:
        InputError: a source cannot be decoded.
        ValueError: there are not so many variants.
    """
    if count > _VARIANTS:
        raise ValueError(f"only {_VARIANTS} inputs can differ, not {count}")
    first = secrets.randbelow(_VARIANTS)
    pairs = []
    for number in range(count):
        say(f"making input {number + 1} of {count}")
        index = (first + number * _STRIDE) % _VARIANTS
        pair = InputPair(folder / f"face-{number}.mp4", folder / f"speech-{number}.wav")
        _write_video(source.video, pair.video, _Variant(index), seconds)
        _write_sound(source.audio, pair.audio, 1 - 0.5 * index / _VARIANTS, seconds)
        pairs.append(pair)
    return tuple(pairs)


def _write_video(source: Path, path: Path, variant: _Variant, seconds: float | None) -> None:
    try:
        with av.open(str(source)) as container, av.open(str(path), "w") as output:
            if not container.streams.video:
                raise NoVideoError(f"{source} has no video", "give --video a video of a face")
            stream = container.streams.video[0]
            output.metadata["comment"] = str(uuid4())  # the bytes differ from those of every other call
            target = output.add_stream("libx264", rate=stream.average_rate, options={"crf": _CRF, "preset": _PRESET})
            target.width, target.height, target.pix_fmt = stream.width, stream.height, "yuv420p"
            target.time_base = stream.time_base
            for frame in container.decode(stream):
                if seconds is not None and frame.time is not None and frame.time >= seconds:
                    break
                output.mux(target.encode(_changed(frame, variant)))
            output.mux(target.encode(None))
    except av.error.FFmpegError as exc:
        raise UnreadableMediaError(
            f"{source} cannot be used for a measurement: {exc}", "choose another --video"
        ) from exc


def _changed(frame: av.VideoFrame, variant: _Variant) -> av.VideoFrame:
    """The frame as yuv420p with its own time, changed by `variant`."""
    planar = np.asarray(
        frame.reformat(format="yuv420p").to_ndarray(), np.uint8
    )  # (3 H / 2, W) uint8: luma above both chroma planes
    height, width = frame.height - frame.height % 2, frame.width - frame.width % 2
    luma, chroma = planar[:height, :width], planar[height:].reshape(2, height // 2, width // 2)
    dx, dy = variant.shift_px
    brighter = np.clip(luma.astype(np.int16) + variant.brightness, 0, 255).astype(np.uint8)
    planes = [_moved(brighter, dx, dy), *(_moved(each, dx // 2, dy // 2) for each in chroma)]
    if variant.is_mirrored:
        planes = [plane[:, ::-1] for plane in planes]
    made = av.VideoFrame.from_ndarray(np.concatenate([plane.reshape(-1, width) for plane in planes]), format="yuv420p")
    made.pts, made.time_base = frame.pts, frame.time_base
    return made


def _moved(plane: NDArray[np.uint8], dx: int, dy: int) -> NDArray[np.uint8]:
    """The plane moved to the left and upwards, its right and lower edge repeated."""
    kept = np.ascontiguousarray(plane[dy:, dx:])
    return np.asarray(cv2.copyMakeBorder(kept, 0, dy, 0, dx, cv2.BORDER_REPLICATE), np.uint8)


def _write_sound(source: Path, path: Path, gain: float, seconds: float | None) -> None:
    samples = np.concatenate(list(SpeechReader(source, StageClock())))
    kept = samples if seconds is None else samples[: round(seconds * SPEECH_RATE_HZ)]
    with wave.open(str(path), "wb") as file:
        file.setparams((1, 2, SPEECH_RATE_HZ, 0, "NONE", "not compressed"))
        file.writeframes((kept * gain).astype("<i2").tobytes())
