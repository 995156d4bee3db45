import logging
import os
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from lipsync_core.face.landmarks import KEPT
from lipsync_core.face.mediapipe import MediapipeTracker
from lipsync_core.face.store import TrackStore, track_key
from lipsync_core.face.track import FaceTrack
from lipsync_core.models.store import ModelStore

KEY = "0" * 64
FINDINGS = {"mouth_width_px": np.array([41.5]), "exemplar": np.zeros((4, 5, 3), np.uint8)}


def make_track(count: int, is_complete: bool = True) -> FaceTrack:
    """A track at 30000/1001 fps whose last frame has no face."""
    random = np.random.default_rng(count)
    scores = random.uniform(0.5, 1, count).astype(np.float32)
    boxes = random.uniform(0, 700, (count, 4)).astype(np.float32)
    landmarks = random.uniform(0, 700, (count, len(KEPT), 3)).astype(np.float32)
    scores[-1], boxes[-1], landmarks[-1] = 0, np.nan, np.nan
    return FaceTrack(
        tracker="test/1",
        frame_pts=np.arange(count, dtype=np.int64) * 1001,
        time_base=Fraction(1, 30000),
        last_duration=1001,
        is_complete=is_complete,
        boxes=boxes,
        scores=scores,
        landmarks=landmarks,
        covered=random.uniform(size=count) > 0.5,
    )


@pytest.fixture
def store(tmp_path: Path) -> TrackStore:
    return TrackStore(tmp_path / "tracks")


def only_file(tmp_path: Path) -> Path:
    (path,) = (tmp_path / "tracks").iterdir()
    return path


def test_a_stored_track_comes_back_whole(store: TrackStore) -> None:
    track = make_track(7)
    store.put(KEY, track, FINDINGS)
    stored = store.find(KEY)
    assert stored is not None
    assert stored.track.tracker == "test/1"
    assert (stored.track.time_base, stored.track.last_duration) == (Fraction(1, 30000), 1001)
    assert stored.track.is_complete
    for name in ("frame_pts", "boxes", "scores", "landmarks"):
        before, after = getattr(track, name), getattr(stored.track, name)
        assert after.dtype == before.dtype
        np.testing.assert_array_equal(after, before)
    assert set(stored.findings) == set(FINDINGS)
    for name, array in FINDINGS.items():
        assert stored.findings[name].dtype == array.dtype
        np.testing.assert_array_equal(stored.findings[name], array)


def test_nothing_is_found_where_nothing_was_stored(store: TrackStore, tmp_path: Path) -> None:
    assert store.find(KEY) is None
    assert not (tmp_path / "tracks").exists()


def test_the_beginning_of_a_video_serves_only_those_who_need_no_more(store: TrackStore) -> None:
    store.put(KEY, make_track(30, is_complete=False), {})
    covered_s = Fraction(30 * 1001, 30000)
    assert store.find(KEY, covered_s) is not None
    assert store.find(KEY, covered_s + Fraction(1, 1000)) is None
    assert store.find(KEY) is None


def test_a_complete_track_serves_whatever_is_needed(store: TrackStore) -> None:
    store.put(KEY, make_track(30), {})
    assert store.find(KEY, Fraction(3600)) is not None
    assert store.find(KEY) is not None


def test_a_longer_track_replaces_a_shorter_one_and_not_the_other_way_round(store: TrackStore) -> None:
    for count in (10, 20, 15):
        store.put(KEY, make_track(count, is_complete=False), {})
    stored = store.find(KEY, Fraction(0))
    assert stored is not None
    assert len(stored.track) == 20
    store.put(KEY, make_track(18), {})
    store.put(KEY, make_track(20, is_complete=False), {})
    stored = store.find(KEY)
    assert stored is not None
    assert len(stored.track) == 18


@pytest.mark.parametrize("kept", [0, 10, 2000, -1])
def test_a_damaged_file_is_a_miss_that_is_logged(
    kept: int, store: TrackStore, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    store.put(KEY, make_track(10), FINDINGS)
    path = only_file(tmp_path)
    path.write_bytes(path.read_bytes()[:kept])
    with caplog.at_level(logging.WARNING):
        assert store.find(KEY) is None
    assert str(path) in caplog.text
    store.put(KEY, make_track(10), FINDINGS)
    assert store.find(KEY) is not None


def test_flipped_bytes_are_a_miss(store: TrackStore, tmp_path: Path) -> None:
    store.put(KEY, make_track(10), {})
    path = only_file(tmp_path)
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 0xFF
    path.write_bytes(content)
    assert store.find(KEY) is None


def test_code_hidden_in_a_stored_track_is_not_run(store: TrackStore, tmp_path: Path) -> None:
    store.put(KEY, make_track(3), {})
    path = only_file(tmp_path)
    with np.load(path) as arrays:
        content = {name: arrays[name] for name in arrays.files}
    np.savez(path, **content | {"tracker": np.array([print], dtype=object)})
    assert store.find(KEY) is None


def test_nothing_is_kept_when_the_folder_cannot_be_written(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "file").write_text("not a folder")
    store = TrackStore(tmp_path / "file")
    store.put(KEY, make_track(3), {})
    assert store.find(KEY) is None
    assert "not kept" in caplog.text


def test_no_unfinished_file_stays_when_a_track_cannot_be_saved(store: TrackStore, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="allow_pickle"):
        store.put(KEY, make_track(3), {"wrong": np.array([object()])})
    assert list((tmp_path / "tracks").iterdir()) == []


def test_the_least_recently_used_tracks_make_room(tmp_path: Path) -> None:
    root = tmp_path / "tracks"
    TrackStore(root).put("a", make_track(50), {})
    size_bytes = (root / "a.npz").stat().st_size
    store = TrackStore(root, cap_bytes=3 * size_bytes)
    store.put("b", make_track(50), {})
    store.put("c", make_track(50), {})
    for age_s, key in ((300, "a"), (200, "b"), (100, "c")):
        os.utime(root / f"{key}.npz", (1e9 - age_s, 1e9 - age_s))
    assert store.find("a") is not None  # now the one used last
    store.put("d", make_track(50), {})
    assert {path.stem for path in root.iterdir()} == {"a", "c", "d"}


def test_a_track_larger_than_the_cap_is_kept_alone(tmp_path: Path) -> None:
    store = TrackStore(tmp_path / "tracks", cap_bytes=1)
    store.put("a", make_track(5), {})
    store.put("b", make_track(5), {})
    assert only_file(tmp_path).stem == "b"


def test_the_key_depends_on_the_bytes_the_tracker_and_the_observer(model_store: ModelStore) -> None:
    largest, first = MediapipeTracker(model_store), MediapipeTracker(model_store, 0)
    same, other = "5" * 64, "6" * 64
    key = track_key(same, largest, "viseme/1")
    assert len(key) == 64
    assert track_key(same, MediapipeTracker(model_store), "viseme/1") == key
    different = {
        key,
        track_key(other, largest, "viseme/1"),
        track_key(same, first, "viseme/1"),
        track_key(same, largest, "viseme/2"),
        track_key(same, largest, ""),
    }
    assert len(different) == 5
