"""Shared checks of whole jobs: they read the output file, and never the job's own report of it."""

from dataclasses import dataclass
from fractions import Fraction
from itertools import zip_longest
from pathlib import Path

import av
import numpy as np


@dataclass(frozen=True, slots=True)
class Movie:
    """The content of a re-opened movie."""

    times_s: list[Fraction]  # start of every frame
    duration_s: Fraction  # of the video stream
    audio_s: Fraction  # of the audio stream
    size: tuple[int, int]
    comment: str


def reopened(path: Path) -> Movie:
    """Decode every frame of `path`."""
    with av.open(str(path)) as container:
        video, audio = container.streams.video[0], container.streams.audio[0]
        assert video.duration is not None
        assert audio.duration is not None
        assert video.time_base is not None
        assert audio.time_base is not None
        comment = container.metadata.get("comment", "")
        durations = video.duration * video.time_base, audio.duration * audio.time_base
        times = [frame.pts * frame.time_base for frame in container.decode(video)]
        return Movie(times, *durations, (video.width, video.height), comment)


def luma_frames(path: Path, count: int | None = None) -> list[np.ndarray]:
    """The luma planes of the first `count` frames."""
    frames = []
    with av.open(str(path)) as container:
        for index, frame in enumerate(container.decode(video=0)):
            if index == count:
                break
            frames.append(frame.to_ndarray(format="gray"))
    return frames


def assert_equal_frames(one: Path, other: Path) -> None:
    """Both movies show the same pictures at the same times."""
    with av.open(str(one)) as left, av.open(str(other)) as right:
        for number, (a, b) in enumerate(zip_longest(left.decode(video=0), right.decode(video=0))):
            assert a is not None and b is not None, f"one ends at frame {number}"
            assert a.pts == b.pts
            np.testing.assert_array_equal(a.to_ndarray(), b.to_ndarray(), err_msg=f"frame {number}")
