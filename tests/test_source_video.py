"""The known facts of a job's video are kept with it."""

import hashlib
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest

from lipsync_core.errors import InputMissingError, NoVideoError
from lipsync_core.face.store import TrackStore
from lipsync_core.media.probe import require_video
from lipsync_core.options import JobOptions
from lipsync_core.source_video import SourceVideo
from lipsync_core.tracking import TrackPass
from tests.conftest import MakeVideo, Tone


def test_a_probed_video_knows_its_format_and_can_tell_its_hash(make_video: MakeVideo) -> None:
    path = make_video(frames=3)
    video = SourceVideo.probed(path)
    assert (video.path, video.info, video.name) == (path, require_video(path), str(path))
    assert video.sha256() == hashlib.sha256(path.read_bytes()).hexdigest()


def test_a_known_hash_is_taken_and_the_file_is_not_read(make_video: MakeVideo) -> None:
    path = make_video(frames=3)
    video = replace(SourceVideo.probed(path), known_sha256="5" * 64)
    path.unlink()
    assert video.sha256() == "5" * 64


def test_the_hash_fails_when_the_video_is_gone(make_video: MakeVideo) -> None:
    path = make_video(frames=3)
    video = SourceVideo.probed(path)
    path.unlink()
    with pytest.raises(InputMissingError, match=r"video\.mp4 cannot be read"):
        video.sha256()


def test_probing_fails_when_there_is_no_picture(tone: Tone) -> None:
    with pytest.raises(NoVideoError):
        SourceVideo.probed(Path(tone()))


def test_a_video_that_no_movie_holds_is_scaled_and_its_face_track_is_kept_apart(
    make_video: MakeVideo, tmp_path: Path
) -> None:
    video = SourceVideo.probed(make_video(frames=2, size="4000x3000"))
    reduced = video.reduced_for(JobOptions())
    assert (video.picture.width_px, video.picture.height_px, video.reading.size_px) == (4000, 3000, None)
    assert (reduced.picture.width_px, reduced.picture.height_px) == reduced.reading.size_px == (3542, 2656)
    spec = SimpleNamespace(name="viseme", version="2", needs_mesh=False)
    tracker = SimpleNamespace(name="tracker/1", parameters="", gives_mesh=True)
    tracking = TrackPass(tracker, SimpleNamespace(spec=spec, observer=lambda: None), TrackStore(tmp_path))
    videos = (video, reduced, video.reduced_for(JobOptions(max_size=(640, 640))))
    assert len({tracking.key(each) for each in videos}) == 3
    assert tracking.key(video.reduced_for(JobOptions(max_size=(9000, 9000)))) == tracking.key(video)
