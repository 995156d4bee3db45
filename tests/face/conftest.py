"""Faces for the trackers: pictures of real clips, and pictures put together from them."""

from collections.abc import Callable, Iterable, Sequence
from fractions import Fraction
from itertools import islice
from pathlib import Path

import av
import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from lipsync_core.clock import StageClock
from lipsync_core.face.mediapipe import MediapipeTracker
from lipsync_core.face.track import FaceTrack
from lipsync_core.face.tracker import FaceTracker
from lipsync_core.media.decode import SourceFrame, decode_frames
from lipsync_core.models.store import ModelStore

Picture = NDArray[np.uint8]  # (h, w, 3) RGB
RATE = 25


@pytest.fixture(scope="session")
def tracker(model_store: ModelStore) -> MediapipeTracker:
    """Follows the largest face."""
    return MediapipeTracker(model_store)


@pytest.fixture(scope="session")
def woman(clips: Path) -> list[Picture]:
    """40 pictures of a woman who turns her head, 590x590."""
    return pictures_of(clips / "retalking_face3.mp4", 40)


@pytest.fixture(scope="session")
def man(clips: Path) -> list[Picture]:
    """40 pictures of a man in a suit, brought to 590x590."""
    return [cv2.resize(picture, (590, 590)) for picture in pictures_of(clips / "retalking_face1.mp4", 40)]


@pytest.fixture(scope="session")
def couple(woman: list[Picture], man: list[Picture]) -> list[Picture]:
    """The man on the left, smaller than the woman on the right, 1180x590."""
    smaller = [cv2.copyMakeBorder(cv2.resize(each, (472, 472)), 0, 118, 59, 59, cv2.BORDER_REPLICATE) for each in man]
    return [np.hstack(both) for both in zip(smaller, woman, strict=True)]


def pictures_of(path: Path, count: int) -> list[Picture]:
    """The first pictures of a clip."""
    frames = islice(decode_frames(path, StageClock()), count)
    return [frame.picture.to_ndarray(format="rgb24") for frame in frames]


def as_frames(pictures: Iterable[Picture], pix_fmt: str = "yuv420p") -> list[SourceFrame]:
    """The pictures as frames of the decoder."""
    return [
        SourceFrame(
            index=index,
            pts=index,
            duration=1,
            time_base=Fraction(1, RATE),
            picture=av.VideoFrame.from_ndarray(picture, format="rgb24").reformat(format=pix_fmt),
        )
        for index, picture in enumerate(pictures)
    ]


def blank_at(pictures: Sequence[Picture], *indexes: int) -> list[Picture]:
    """The pictures, those at `indexes` all grey."""
    return [np.full_like(each, 128) if index in indexes else each for index, each in enumerate(pictures)]


def frames_with_face(track: FaceTrack) -> list[int]:
    """The indexes of the frames that have a face."""
    return np.flatnonzero(track.has_face).tolist()


Track = Callable[[FaceTracker, Iterable[Picture]], FaceTrack]


@pytest.fixture
def track() -> Track:
    """Tracks pictures as a 25 fps clip."""
    return lambda tracker, pictures: tracker.track(as_frames(pictures), StageClock())
