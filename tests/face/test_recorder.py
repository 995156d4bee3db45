from fractions import Fraction

import av
import numpy as np

from lipsync_core.face.landmarks import KEPT
from lipsync_core.face.recorder import TrackRecorder
from lipsync_core.face.track import TrackedFace
from lipsync_core.media.decode import SourceFrame

PICTURE = av.VideoFrame(16, 16, "yuv420p")


def face(index: int) -> TrackedFace:
    return TrackedFace(
        index, np.full(4, index, np.float32), 0.75, np.full((len(KEPT), 3), index, np.float32), index % 2 == 1
    )


def test_a_long_recording_keeps_every_row() -> None:
    recorder = TrackRecorder()
    for index in range(700):
        frame = SourceFrame(index, index * 3, 5, Fraction(1, 90), PICTURE)
        recorder.add(frame, None if index % 7 == 0 else face(index))
    track = recorder.track("test/1")
    assert len(track) == 700
    assert track.frame_pts.tolist() == list(range(0, 2100, 3))
    assert track.duration_s == Fraction(699 * 3 + 5, 90)
    assert np.flatnonzero(~track.has_face).tolist() == list(range(0, 700, 7))
    assert np.flatnonzero(track.covered).tolist() == [index for index in range(1, 700, 2) if index % 7]
    assert track.boxes[699, 0] == track.landmarks[699, 5, 2] == 699


def test_a_track_is_not_changed_by_what_is_recorded_later() -> None:
    recorder = TrackRecorder()
    recorder.add(SourceFrame(0, 0, 1, Fraction(1, 25), PICTURE), face(0))
    early = recorder.track("test/1")
    recorder.add(SourceFrame(1, 1, 1, Fraction(1, 25), PICTURE), face(1))
    assert len(early) == 1
    assert len(recorder.track("test/1")) == 2
