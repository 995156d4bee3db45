"""Sound of many channels, or of channels without names, made into a layout that FFmpeg can mix."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import cache
from typing import Any

import av
import numpy as np
from numpy.typing import NDArray

from lipsync_core.media.sound_frames import frame_like
from lipsync_core.shortage import require_no_shortage

#: Silence in 8-bit unsigned samples.
SILENT_BYTE = 128
_RATE_HZ = 48000
#: FFmpeg's own default layout for each channel count (av_channel_layout_default), for files that name none; but three
#: channels are not 2.1, whose third one no mix holds: it would be lost with all that is said in it.
_DEFAULT_LAYOUTS = ("mono", "stereo", "3.0", "4.0", "5.0", "5.1", "6.1", "7.1")
_LIKE_THREE = "2.1"
_MUCH = 1000.0  # 30 dB


@dataclass(frozen=True, slots=True)
class Survey:
    """What has to be known of a whole sound before its channels are mixed."""

    gain: float  # of the plain sum of all channels, so that it is as loud as the loudest of them; at most 1
    is_outside: bool  # all is said in channels that FFmpeg's mix leaves out


def mixable(frames: Iterable[av.AudioFrame], survey: Callable[[], Survey]) -> Iterator[av.AudioFrame]:
    """`frames` with a channel layout that FFmpeg can mix; more than eight channels without names become one.

    So does a sound in which all is said in a channel that a mix leaves out: recorders write a microphone into the
    fourth of six channels, which players take for the low frequencies. `survey` is asked only where it matters.
    """
    for frame in frames:
        name = frame.layout.name
        if _can_be_mixed(name) and (not _left_out(name) or not survey().is_outside):
            yield frame
        else:
            yield _with_mixable_layout(frame, survey)


def surveyed(frames: Iterable[av.AudioFrame]) -> Survey:
    """The survey of a whole sound.

    A mean would make one voice among sixteen channels quieter by 24 dB, and a plain sum would clip where all hold it.
    """
    channel_peak, sum_peak, inside, outside = 0.0, 0.0, 0.0, 0.0
    for frame in frames:
        rows = channel_rows(frame)
        channel_peak = max(channel_peak, float(np.abs(rows).max(initial=0.0)))
        sum_peak = max(sum_peak, float(np.abs(rows.sum(axis=0)).max(initial=0.0)))
        energies = np.square(rows).sum(axis=1)  # (C,)
        lost = list(_left_out(frame.layout.name))
        outside += float(energies[lost].sum())
        inside += float(energies.sum()) - float(energies[lost].sum())
    gain = min(1.0, channel_peak / sum_peak) if sum_peak else 1.0
    return Survey(gain, inside * _MUCH < outside)


def _with_mixable_layout(frame: av.AudioFrame, survey: Callable[[], Survey]) -> av.AudioFrame:
    name, channels = frame.layout.name, frame.layout.nb_channels
    if name.startswith("ambisonic"):  # the first channel is the sound from all directions; others mix to a direction
        samples = frame.to_ndarray()  # (C, N) planar or (1, N * C) interleaved
        return frame_like(frame, samples[:1] if frame.format.is_planar else samples[:, ::channels], "mono")
    if channels <= len(_DEFAULT_LAYOUTS) and not _can_be_mixed(name):
        return frame_like(frame, frame.to_ndarray(), _DEFAULT_LAYOUTS[channels - 1])
    return frame_like(frame, _as_samples(frame, channel_rows(frame).sum(axis=0, keepdims=True) * survey().gain), "mono")


def channel_rows(frame: av.AudioFrame) -> NDArray[np.float64]:
    """(C, N) the samples of a frame in its own scale, silence at 0."""
    samples = frame.to_ndarray()
    rows = samples if frame.format.is_planar else samples.reshape(-1, frame.layout.nb_channels).T
    return np.asarray(rows.astype(np.float64) - _middle(frame))


def _as_samples(frame: av.AudioFrame, rows: NDArray[np.float64]) -> NDArray[Any]:
    """(1, N) `rows` as samples in the format of `frame`."""
    dtype = frame.to_ndarray().dtype
    if dtype.kind not in "iu":
        return rows.astype(dtype)
    limits = np.iinfo(dtype.name)
    return np.clip(np.rint(rows + _middle(frame)), limits.min, limits.max).astype(dtype)


def _middle(frame: av.AudioFrame) -> int:
    return SILENT_BYTE if frame.format.name.startswith("u8") else 0


@cache
def _can_be_mixed(layout: str) -> bool:
    """Whether FFmpeg knows how to mix the channels of `layout` to one."""
    if layout.endswith(" channels") or layout == _LIKE_THREE:
        return False
    try:
        _mixed(layout, 0)
    except av.FFmpegError as exc:
        require_no_shortage(exc)
        return False
    return True


@cache
def _left_out(layout: str) -> tuple[int, ...]:
    """The channels of `layout` that FFmpeg's mix leaves out, such as the low frequencies."""
    if not _can_be_mixed(layout):
        return ()
    return tuple(at for at in range(av.AudioLayout(layout).nb_channels) if not _mixed(layout, at))


def _mixed(layout: str, channel: int) -> float:
    """The level of one `channel` in a mix to one."""
    samples = np.zeros((1, av.AudioLayout(layout).nb_channels), np.float32)
    samples[0, channel] = 1.0
    frame = av.AudioFrame.from_ndarray(samples, format="flt", layout=layout)
    frame.sample_rate = _RATE_HZ
    (mixed,) = av.AudioResampler(format="flt", layout="mono", rate=_RATE_HZ).resample(frame)
    return float(np.abs(mixed.to_ndarray()).max())
