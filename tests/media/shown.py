"""What a file shows and says to someone who plays it: FFmpeg's command line is the player."""

import os
import re
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import imageio_ffmpeg
import numpy as np
from numpy.typing import NDArray

HEARD_HZ = 48000
_SCALE = "scale=flags=bicubic+accurate_rnd+full_chroma_int+full_chroma_inp"
_UNIT_HZ = 90_000  # of the times that are read


@dataclass(frozen=True, slots=True, eq=False)
class Shown:
    """The upright pictures and the sound of one file on its own clock, where 0 is the first of both."""

    times_s: NDArray[np.float64]  # (N,) when each picture appears
    pictures: NDArray[np.uint8]  # (N, H, W, 3) RGB
    sound_s: float  # when the first sample is heard; NaN without a sound
    sound: NDArray[np.float32]  # (S, C) at 48 kHz


def shown(
    path: Path, *, filters: str = "", picture: str | None = "0:v:0", sound: str | None = "0:a:0", folder: Path
) -> Shown:
    """Play the tracks `picture` and `sound` of `path` (None: not); `filters` stand before the conversion to RGB.

    The intermediate files lie in `folder`.
    """
    raw, crc, wav, sound_crc = (folder / f"shown.{ending}" for ending in ("rgb", "crc", "f32", "crc2"))
    chain = ",".join(each for each in (filters, _SCALE, "format=rgb24") if each)
    command: list[str | Path] = [imageio_ffmpeg.get_ffmpeg_exe(), "-v", "info", "-nostdin", "-y", "-i", path]
    passed = ("-fps_mode", "passthrough", "-enc_time_base", f"1:{_UNIT_HZ}")
    if picture is not None:
        command += ["-map", picture, "-vf", chain, *passed, "-f", "rawvideo", raw]
        command += ["-map", picture, "-vf", f"{chain},showinfo", *passed, "-f", "framecrc", crc]
    if sound is not None:
        resampled = f"aresample={HEARD_HZ}:async=1"
        command += ["-map", sound, "-af", resampled, "-f", "f32le", wav]
        command += ["-map", sound, "-af", resampled, "-enc_time_base", f"1:{HEARD_HZ}", "-f", "framecrc", sound_crc]
    done = subprocess.run(list(map(os.fspath, command)), capture_output=True, text=True, errors="replace", timeout=120)
    assert done.returncode == 0, done.stderr[-2000:]
    times_s, pictures = np.empty(0), np.empty((0, 1, 1, 3), np.uint8)
    if picture is not None:
        width, height = map(int, re.findall(r"showinfo.* s:(\d+)x(\d+) ", done.stderr)[0])
        times_s = np.array(_times(crc)) / _UNIT_HZ
        pictures = np.fromfile(raw, np.uint8).reshape(-1, height, width, 3)
    sound_s, samples = float("nan"), np.empty((0, 1), np.float32)
    if sound is not None:
        channels = _channels(sound_crc)
        sound_s = _times(sound_crc)[0] / HEARD_HZ
        samples = np.fromfile(wav, np.float32).reshape(-1, channels)
    return Shown(times_s, pictures, sound_s, samples)


def _times(crc: Path) -> Sequence[int]:
    """The pts of each frame that FFmpeg's framecrc lists."""
    rows = [line.split(",") for line in crc.read_text().splitlines() if not line.startswith("#")]
    return [int(row[2]) for row in rows]


def _channels(crc: Path) -> int:
    layout = re.search(r"^#channel_layout_name 0: (.+)$", crc.read_text(), re.M)
    assert layout is not None
    named = {"mono": 1, "stereo": 2, "quad": 4}
    name = layout.group(1)
    if name in named:
        return named[name]
    plain = re.match(r"(\d+)(?:\.(\d))?", name)
    assert plain is not None, name
    return int(plain.group(1)) + int(plain.group(2) or 0) if "channels" not in name else int(plain.group(1))


def psnr(one: NDArray[np.generic], other: NDArray[np.generic]) -> float:
    """Decibels, at most 99."""
    error = float(((one.astype(np.float32) - other.astype(np.float32)) ** 2).mean())
    return min(99.0, float(10 * np.log10(255**2 / max(error, 1e-12))))


def halved(picture: NDArray[np.uint8]) -> NDArray[np.float32]:
    """(H / 2, W / 2, 3): the mean of each four pixels, which share their colour in 4:2:0."""
    height, width = picture.shape[0] // 2, picture.shape[1] // 2
    even = picture[: 2 * height, : 2 * width].astype(np.float32)
    return np.asarray(even.reshape(height, 2, width, 2, 3).mean((1, 3)), np.float32)


def delay_s(before: NDArray[np.float32], after: NDArray[np.float32]) -> float:
    """By how much the sound `after` (N,) comes later than `before` (M,), both at 48 kHz, by correlation."""
    length = 1 << (len(before) + len(after)).bit_length()
    spectrum = np.fft.rfft(after, length) * np.conj(np.fft.rfft(before, length))
    lag = int(np.abs(np.fft.irfft(spectrum, length)).argmax())
    return (lag if lag < len(after) else lag - length) / HEARD_HZ
