"""Makes sound files with a click for the tests, and measures the time of the click."""

import wave
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from numpy.typing import NDArray

from lipsync_core.media.sound import interleaved
from tests.shared_files import ROOT

LAYOUTS = {1: "mono", 2: "stereo", 3: "2.1", 4: "quad", 6: "5.1"}
CLICK_S = 1.0
HEARD_HZ = 48000


def click(rate_hz: int, channels: int, duration_s: float = 2.0) -> NDArray[np.int16]:
    """Silence with one full sample at CLICK_S, (N, channels)."""
    samples = np.zeros((round(rate_hz * duration_s), channels), np.int16)
    samples[round(rate_hz * CLICK_S)] = 30000
    return samples


def tone(rate_hz: int, channels: int, duration_s: float, frequency_hz: float = 440.0) -> NDArray[np.int16]:
    times_s = np.arange(round(rate_hz * duration_s)) / rate_hz
    wave = 12000 * np.sin(2 * np.pi * frequency_hz * times_s)
    return np.repeat(wave[:, None], channels, axis=1).astype(np.int16)  # (N, channels)


def write_sound(path: Path, codec: str, rate_hz: int, samples: NDArray[np.int16]) -> Path:
    """Encode (N, C) samples with `codec` into the container that the name asks for."""
    layout = LAYOUTS[samples.shape[1]]
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=rate_hz)
        stream.codec_context.layout = layout
        container.mux(stream.encode(sound_frame(samples, rate_hz, 0)))
        container.mux(stream.encode(None))
    return path


def write_sound_with_hole(path: Path, rate_hz: int, samples: NDArray[np.int16], hole: tuple[int, int]) -> Path:
    """Mono AAC whose packets between samples hole[0] and hole[1] are missing, the timestamps kept."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("aac", rate=rate_hz)
        stream.codec_context.layout = "mono"
        packets = stream.encode(sound_frame(samples, rate_hz, 0)) + stream.encode(None)
        container.mux([packet for packet in packets if not hole[0] <= packet.pts < hole[1]])
    return path


def sound_frame(samples: NDArray[np.int16], rate_hz: int, pts: int) -> av.AudioFrame:
    layout = LAYOUTS[samples.shape[1]]
    frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(samples.reshape(1, -1)), format="s16", layout=layout)
    frame.sample_rate = rate_hz
    frame.pts = pts
    frame.time_base = Fraction(1, rate_hz)
    return frame


def click_time_s(path: Path) -> float:
    """The time of the click after the first sample, by the timestamps of the re-opened file, to the sample."""
    times_s, levels, first_s = [], [], None
    with av.open(str(path)) as container:
        for frame in container.decode(audio=0):
            samples = np.abs(channel_rows(frame)[0].astype(np.float64))
            first_s = frame.time if first_s is None else first_s
            times_s.append(frame.time - first_s + np.arange(len(samples)) / frame.sample_rate)
            levels.append(samples)
    level, time_s = np.concatenate(levels), np.concatenate(times_s)
    around = np.abs(time_s - time_s[level.argmax()]) < 0.01
    return float(np.average(time_s[around], weights=level[around] ** 2))


def many_tones(tones_hz: Sequence[int], layout: str, seconds: float = 1.0) -> str:
    """An input of FFmpeg's lavfi at 48 kHz: a tone of its own in each channel of `layout`."""
    channels = "|".join(f"0.2*sin(2*PI*{frequency_hz}*t)" for frequency_hz in tones_hz)
    return f"aevalsrc={channels}:c={layout}:s=48000:d={seconds}"


def channel_rows(frame: av.AudioFrame) -> NDArray[np.generic]:
    """(C, N)."""
    (frame,) = interleaved([frame])
    samples = frame.to_ndarray()
    return samples if frame.format.is_planar else samples.reshape(-1, frame.layout.nb_channels).T


def read_speech(duration_s: float) -> NDArray[np.int16]:
    """(N,) the demo's speech at 16 kHz, repeated for as long as is asked for."""
    with wave.open(str(ROOT / "demo" / "speech.wav")) as file:
        speech = np.frombuffer(file.readframes(file.getnframes()), np.int16)
    return np.resize(speech, round(duration_s * 16_000))


def heard(path: Path, is_movie: bool = True) -> NDArray[np.float64]:
    """(N,) mono at 48 kHz: of a movie from its start on, of a sound from its first sample on, as the product has it."""
    resampler = av.AudioResampler(format="flt", layout="mono", rate=HEARD_HZ)
    with av.open(str(path)) as container:
        frames = list(container.decode(audio=0))
    start = round((frames[0].time or 0.0) * HEARD_HZ) if is_movie else 0
    blocks = [block for frame in frames for block in resampler.resample(frame)] + resampler.resample(None)
    samples = np.concatenate([block.to_ndarray()[0] for block in blocks if block is not None]).astype(np.float64)
    return np.concatenate([np.zeros(max(0, start)), samples[max(0, -start) :]])


def offset_s(before: NDArray[np.float64], after: NDArray[np.float64]) -> float:
    """By how much `after` comes later than `before`, by the best correlation of both."""
    length = len(before) + len(after)
    product = np.fft.rfft(after, length) * np.conj(np.fft.rfft(before, length))
    lag = int(np.abs(np.fft.irfft(product, length)).argmax())
    return (lag if lag < len(after) else lag - length) / HEARD_HZ
