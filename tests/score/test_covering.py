"""Mouths behind a drawn cup, beside bare ones."""

import cv2
import numpy as np

from lipsync_core.score.covering import covered_looks, look_of
from tests.score.regions import skin


def looks(pictures: list[np.ndarray]) -> np.ndarray:
    return np.array([look_of(picture) for picture in pictures], np.uint8)


def with_cup(picture: np.ndarray) -> np.ndarray:
    return cv2.rectangle(picture.copy(), (25, 20), (95, 119), (60, 90, 190), cv2.FILLED)


def with_lips(picture: np.ndarray, opening_px: int) -> np.ndarray:
    return cv2.ellipse(picture.copy(), (60, 45), (22, 4 + opening_px), 0, 0, 360, (120, 40, 45), cv2.FILLED)


def test_a_cup_in_front_of_the_mouth_is_told() -> None:
    bare = [with_lips(skin(seed=seed), seed % 4) for seed in range(12)]
    covered = covered_looks(looks([*bare[:8], *map(with_cup, bare[8:])]))
    assert covered.tolist() == [False] * 8 + [True] * 4


def test_speech_and_light_cover_nothing() -> None:
    bare = [with_lips(skin(seed=seed), seed % 8) for seed in range(12)]
    dim = [(picture * light).astype(np.uint8) for picture, light in zip(bare, np.linspace(0.7, 1.0, 12), strict=True)]
    assert not covered_looks(looks(dim)).any()
    assert covered_looks(np.zeros((0, 108), np.uint8)).tolist() == []
