"""Every real clip with every real recording: no error and no lost tail, for any content of the clip."""

from fractions import Fraction
from itertools import pairwise
from pathlib import Path

import pytest

from lipsync_core import JobOptions, Workspace, lip_sync
from lipsync_core.media.probe import require_audio
from tests.jobs import reopened
from tests.shared_files import RECORDINGS, VIDEOS
from tests.thorough import thorough

#: The rendered part of each pair: the first cuts and the profile of this clip come later than the others' faces.
END_S = {"facerec_short_hamilton_clip.mp4": Fraction(4)}
WHOLE = {("sadtalker_WDA_AlexandriaOcasioCortez_000.mp4", "sadtalker_imagine.wav")}
#: Usually each clip once, and each recording with several.
PAIRS = [
    pytest.param(video, audio, marks=() if (row + 2 * column) % 6 == 1 else thorough)
    for row, video in enumerate(VIDEOS)
    for column, audio in enumerate(RECORDINGS)
]


@pytest.fixture(scope="module")
def shared_workspace(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """One cache for all pairs: each clip is tracked once."""
    return Workspace(models=Workspace.default().models, cache=tmp_path_factory.mktemp("cache"))


@pytest.mark.usefixtures("model_store")
@pytest.mark.parametrize(("video", "audio"), PAIRS)
def test_pair(video: str, audio: str, clips: Path, shared_workspace: Workspace, tmp_path: Path) -> None:
    end_s = None if (video, audio) in WHOLE else END_S.get(video, Fraction(1))
    output = tmp_path / "out.mp4"
    report = lip_sync(
        clips / video, clips / audio, output, JobOptions(end_s=end_s, preset="ultrafast"), shared_workspace
    )
    declared_s = require_audio(clips / audio).duration_s
    assert declared_s is not None
    audio_s = min(declared_s, end_s) if end_s else declared_s
    movie = reopened(output)
    frame_s = max(b - a for a, b in pairwise(movie.times_s))
    assert 0 <= movie.duration_s - audio_s < frame_s
    assert abs(movie.audio_s - audio_s) < Fraction(1, 10)
    assert len(movie.times_s) == report.frames.total
    if video in END_S:  # the singer's profile: no face to sync for two seconds
        assert report.frames.passed_no_face > 40
        assert report.frames.synced > 40
    else:
        assert report.frames.synced_share == 1.0
