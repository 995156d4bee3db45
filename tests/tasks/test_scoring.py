"""The verdict on results: what is measured while they are rendered, and what the operator has decided."""

from collections.abc import Callable
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from uuid import uuid4

import numpy as np
import pytest
from numpy.typing import NDArray

from lipsync_core.errors import ModelMissingError, QualityError
from lipsync_core.generators.contract import Painted
from lipsync_core.models.store import ModelStore
from lipsync_core.movie import MovieSegment
from lipsync_core.movie_pictures import WrittenPictures
from lipsync_core.options import JobOptions
from lipsync_core.score.motion import SeenMouths
from lipsync_core.score.seen import Seen, SeenPair, SeenPictures, SeenRim
from lipsync_service.settings import Settings
from tasks.rendering import RenderPass, open_render
from tasks.scoring import score_result
from tasks.segments import SegmentFacts, bring_segment, open_segment, render_segment, segment_orders
from tasks.stage_log import StageMeter
from tests.tasks.test_stages import Service, encoder_for, fetched, ignore, rendered

MakeSettings = Callable[..., Settings]
Inputs = tuple[Path, Path]
OPTIONS = JobOptions(model="viseme", preset="ultrafast", end_s=Fraction(3))


class UntouchedBlender:
    """Leaves the face as it is, as where another person's mouth was painted."""

    name = "untouched"

    def blend(self, region: NDArray[np.uint8], painted: Painted) -> NDArray[np.uint8]:
        return region.copy()


@pytest.fixture
def inputs(face_clip: Path, speech_wav: Path, tmp_path: Path) -> Inputs:
    """Video and sound in the test's folder, which the service may read."""
    video, audio = (tmp_path / path.name for path in (face_clip, speech_wav))
    video.write_bytes(face_clip.read_bytes())
    audio.write_bytes(speech_wav.read_bytes())
    return video, audio


def with_fault(render: RenderPass) -> RenderPass:
    return replace(render, parts=replace(render.parts, blender=UntouchedBlender()))


def test_a_result_is_judged_as_the_operator_has_decided(
    inputs: Inputs, model_store: ModelStore, settings: MakeSettings, tmp_path: Path
) -> None:
    service = Service(tmp_path, model_store.root, settings)
    video, audio = inputs
    inferred = service.infer(OPTIONS, video, audio)
    with service.machine("cpu", OPTIONS, is_inferring=True) as job:
        fetched_inputs = fetched(job, video, audio)
        good, bad = (
            open_render(job, fetched_inputs, inferred, encoder_for(job, fetched_inputs), uuid4(), ".mp4")
            for _ in range(2)
        )
        rendered(good)
        meter = StageMeter()
        verdict = score_result(good, settings(quality="fail"), meter)
        assert verdict is not None and verdict.scoring.score is not None
        assert verdict.scoring.score.score >= 0.8
        assert verdict.name == "passed"
        assert meter.items == verdict.scoring.score.frames > 20
        verdict.require_delivery()
        assert verdict.scoring.pictures is not None and verdict.scoring.pictures.faults == ()
        assert "; picture good: seam " in verdict.account
        faulty = with_fault(bad)
        rendered(faulty)
        told = {name: score_result(faulty, settings(quality=name), StageMeter()) for name in POLICIES}
        assert {name: verdict and verdict.name for name, verdict in told.items()} == POLICIES
        failing = told["fail"]
        assert failing is not None and failing.account.startswith("low: 0.")
        with pytest.raises(QualityError, match="does not follow the sound"):
            failing.require_delivery()
        asking = replace(good, job=replace(job, options=replace(OPTIONS, min_score=1.0)))
        for name in POLICIES:
            refused = score_result(asking, settings(quality=name), StageMeter())
            assert refused is not None and refused.name == "refused"
            with pytest.raises(QualityError) as error:
                refused.require_delivery()
            assert error.value.remedy.endswith("or ask for less than min_score 1")
        lenient = replace(faulty, job=replace(job, options=replace(OPTIONS, min_score=0.01)))
        loosened = score_result(lenient, settings(quality="fail"), StageMeter())
        assert loosened is not None and loosened.name == "refused" and loosened.error is not None
        assert "min_score" not in loosened.error.remedy
        assert score_result(replace(good, is_kept=True), settings(), meter) is None
        assert meter.was_cached
        unseen = score_result(replace(good, meter=None), settings(quality="fail"), StageMeter())
        assert unseen is not None and unseen.account == "none: the face mesh is not installed"
        unseen.require_delivery()


POLICIES = {"deliver": None, "deliver-and-flag": "low", "fail": "refused"}


def test_a_job_that_asks_for_a_score_fails_when_its_worker_cannot_measure(
    inputs: Inputs, model_store: ModelStore, settings: MakeSettings, tmp_path: Path
) -> None:
    """One that does not ask is rendered without a score."""
    service = Service(tmp_path, model_store.root, settings)
    video, audio = inputs
    inferred = service.infer(OPTIONS, video, audio)
    with service.machine("cpu", OPTIONS, is_inferring=True) as job:
        fetched_inputs = fetched(job, video, audio)
        bare = replace(job, models=ModelStore(tmp_path / "none"))
        asking = replace(bare, options=replace(OPTIONS, min_score=0.5))
        render = open_render(bare, fetched_inputs, inferred, encoder_for(job, fetched_inputs), uuid4(), ".mp4")
        assert render.meter is None
        with pytest.raises(ModelMissingError, match="mediapipe-face"):
            open_render(asking, fetched_inputs, inferred, encoder_for(job, fetched_inputs), uuid4(), ".mp4")


def test_all_that_was_measured_in_a_segment_travels_with_its_facts() -> None:
    mouths = SeenMouths(np.array([3, 6]), np.array([0.1, 0.25]), np.array([0.5, 0.5]))
    pictures = SeenPictures((SeenRim(4, 0.5, (1, 2, 255)),), (SeenPair(5, 0.25, -0.1),))
    written = WrittenPictures(2, 2, (), {})
    facts = SegmentFacts.of(MovieSegment(range(9), Path("s.mp4"), written, Seen(mouths, pictures)), ())
    measured = SegmentFacts.model_validate_json(facts.model_dump_json()).measured
    assert measured is not None
    assert measured.mouths.rows() == mouths.rows()
    assert measured.pictures == pictures
    assert SegmentFacts.model_validate_json(facts.model_dump_json(exclude={"seen"})).measured is None


def test_a_segment_of_another_machine_measures_the_frames_that_the_whole_would(
    inputs: Inputs, model_store: ModelStore, settings: MakeSettings, tmp_path: Path
) -> None:
    service = Service(tmp_path, model_store.root, lambda **names: settings(segment_s=1, **names))
    options = replace(OPTIONS, end_s=Fraction(2))
    video, audio = inputs
    inferred = service.infer(options, video, audio)
    with service.machine("cpu", options, is_inferring=True) as job:
        fetched_inputs = fetched(job, video, audio)
        render = open_render(job, fetched_inputs, inferred, encoder_for(job, fetched_inputs), uuid4(), ".mp4")
        orders = segment_orders(render, inferred, uuid4())
        assert len(orders) == 2
        rendered(render)
        for order in orders:
            with job.stage(order.stage) as meter:
                render_segment(job, open_segment(job, fetched_inputs.video, order), order, meter, ignore)
        brought = [bring_segment(job, order) for order in orders]
    segments = [segment for segment, _ in filter(None, brought)]
    joined = Seen.joined(segment.seen for segment in segments if segment.seen is not None)
    whole = Seen.joined(render.seen)
    assert joined.mouths.rows() == whole.mouths.rows()
    assert len(joined.mouths) > 10
    assert joined.pictures.rims == whole.pictures.rims
    parted = orders[1].first  # a pair on both sides of the join is in no segment
    assert joined.pictures.pairs == tuple(pair for pair in whole.pictures.pairs if pair.number != parted)
    assert len(joined.pictures.pairs) >= 3
