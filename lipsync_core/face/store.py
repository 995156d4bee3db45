"""Keeps face tracks on disk, so that a second audio for the same video needs no tracking."""

import hashlib
import json
import logging
import os
import tempfile
import zipfile
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import numpy as np

from lipsync_core.face.track import Arrays, FaceTrack, ReadArrays
from lipsync_core.face.tracker import FaceTracker

_LOG = logging.getLogger(__name__)
_FORMAT = 2  # raise it when the meaning of a stored array changes
_FINDING = "finding."  # prefix of the names of an observer's arrays in the file
DEFAULT_CAP_BYTES = 512 * 2**20


@dataclass(frozen=True, slots=True)
class StoredTrack:
    """A face track, and the findings of the observer of its track pass."""

    track: FaceTrack
    findings: Arrays


def track_key(video_sha256: str, tracker: FaceTracker, observer: str, reading: str = "") -> str:
    """The key under which the track of a video is stored: 64 hex digits.

    It depends on the video's bytes, not its name, on the tracker's name, version and parameters, and
    on `observer`, the observer's name and version ("" without an observer), and on `reading`: how the pictures are
    read, where that is not what it was when the first tracks were stored.
    """
    parts = [_FORMAT, video_sha256, tracker.name, tracker.parameters, observer]
    if reading:
        parts.append(reading)
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()


class TrackStore:
    """A folder of face tracks, one file each, the least recently used removed beyond `cap_bytes`.

    It is a cache: a file that cannot be read is a miss, and a track that cannot be written is not kept;
    both are logged. Several processes may share the folder; a file appears whole or not at all.
    """

    def __init__(self, root: Path, cap_bytes: int = DEFAULT_CAP_BYTES) -> None:
        self._root = root
        self._cap_bytes = cap_bytes

    def find(self, key: str, needed_s: Fraction | None = None) -> StoredTrack | None:
        """The stored track, or None if there is none that covers the first `needed_s` of the video.

        `needed_s` None means the whole video.
        """
        path = self.path(key)
        try:
            stored = _load(path)
        except FileNotFoundError:
            return None
        except (OSError, ValueError, KeyError, TypeError, EOFError, zipfile.BadZipFile) as exc:
            _LOG.warning("ignoring the stored face track %s: %s", path, exc)
            return None
        if not _covers(stored.track, needed_s):
            return None
        _mark_used(path)
        return stored

    def put(self, key: str, track: FaceTrack, findings: ReadArrays) -> None:
        """Store a track, unless one that covers more is stored already; then make room."""
        kept = self.find(key, Fraction(0))
        if kept is not None and (kept.track.is_complete, len(kept.track)) > (track.is_complete, len(track)):
            return
        path = self.path(key)
        try:
            self._root.mkdir(parents=True, exist_ok=True)
            _save(path, track, findings)
            self._make_room(path)
        except OSError as exc:
            _LOG.warning("the face track is not kept in %s: %s", self._root, exc)

    def path(self, key: str) -> Path:
        """The path of the track with that key, which need not exist."""
        return self._root / f"{key}.npz"

    def _make_room(self, newest: Path) -> None:
        """Remove the least recently used files until the rest fits; never the newest."""
        files = [(file.stat(), file) for file in self._root.glob("*.npz") if file != newest]
        files.sort(key=lambda entry: entry[0].st_mtime_ns)
        total_bytes = newest.stat().st_size + sum(status.st_size for status, _ in files)
        for status, file in files:
            if total_bytes <= self._cap_bytes:
                return
            file.unlink(missing_ok=True)
            total_bytes -= status.st_size


def _covers(track: FaceTrack, needed_s: Fraction | None) -> bool:
    return track.is_complete or (needed_s is not None and track.duration_s >= needed_s)


def _mark_used(path: Path) -> None:
    """Set the file's modification time to now, as the time of its last use: access times are often switched off."""
    try:
        os.utime(path)
    except OSError as exc:
        _LOG.info("cannot mark %s as used: %s", path, exc)


def track_arrays(track: FaceTrack) -> Arrays:
    """All of a track, for `np.savez`."""
    return {
        "tracker": np.array(track.tracker),
        "frame_pts": track.frame_pts,
        "time_base": np.array([track.time_base.numerator, track.time_base.denominator], np.int64),
        "last_duration": np.array(track.last_duration, np.int64),
        "is_complete": np.array(track.is_complete),
        "boxes": track.boxes,
        "scores": track.scores,
        "landmarks": track.landmarks,
        "covered": track.covered,
    }


def track_of(arrays: ReadArrays) -> FaceTrack:
    """The track that gave `arrays`; raises KeyError or ValueError where they are none of a track."""
    numerator, denominator = arrays["time_base"].tolist()
    return FaceTrack(
        tracker=str(arrays["tracker"]),
        frame_pts=arrays["frame_pts"].astype(np.int64),
        time_base=Fraction(numerator, denominator),
        last_duration=int(arrays["last_duration"]),
        is_complete=bool(arrays["is_complete"]),
        boxes=arrays["boxes"].astype(np.float32),
        scores=arrays["scores"].astype(np.float32),
        landmarks=arrays["landmarks"].astype(np.float32),
        covered=arrays["covered"].astype(np.bool_),
    )


def named(prefix: str, arrays: ReadArrays) -> Arrays:
    """`arrays` under longer names, for a file that holds others too."""
    return {prefix + name: array for name, array in arrays.items()}


def of_name(prefix: str, arrays: ReadArrays) -> Arrays:
    """The arrays that `named` has named."""
    return {name.removeprefix(prefix): array for name, array in arrays.items() if name.startswith(prefix)}


def _save(path: Path, track: FaceTrack, findings: ReadArrays) -> None:
    arrays = {**track_arrays(track), **named(_FINDING, findings)}
    handle, unfinished = tempfile.mkstemp(prefix=".track-", dir=path.parent)
    try:
        with os.fdopen(handle, "wb") as file:
            np.savez(file, allow_pickle=False, **arrays)
        Path(unfinished).replace(path)
    except BaseException:  # Ctrl-C included: nothing unfinished stays
        Path(unfinished).unlink(missing_ok=True)
        raise


def _load(path: Path) -> StoredTrack:
    with path.open("rb") as file, np.load(file, allow_pickle=False) as arrays:
        return StoredTrack(track_of(arrays), of_name(_FINDING, arrays))
