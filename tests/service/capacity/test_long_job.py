"""The time of one long job on several workers follows from what its parts cost."""

import pytest

pytest.importorskip("simpy", reason="the extra service is not installed")
from lipsync_service.capacity.costs import JobCosts, Step, reference_costs
from lipsync_service.capacity.long_job import LongJobTime, foretell


def costs(**steps: Step) -> JobCosts:
    return JobCosts("made", "viseme", 600.0, tuple(steps.values()))


def step(name: str, cpu_s: float, threads: float = 1.0, gpu_s: float = 0.0, pool: str = "cpu") -> Step:
    return Step(name, pool, cpu_s=cpu_s, threads=threads, gpu_s=gpu_s, grows=True)  # type: ignore[arg-type]


def times(made: JobCosts, workers: int, segment_s: float = 60.0, cores: float = 2.0) -> dict[int, LongJobTime]:
    return {time.workers: time for time in foretell(made, workers, segment_s, cores).times}


PLAIN = costs(
    start=step("start", 1.0), listen=step("listen", 10.0), track=step("track", 60.0), render=step("render", 300.0)
)


def test_parts_are_shared_by_all_workers_and_the_rest_is_not() -> None:
    found = times(PLAIN, 5)
    assert list(found) == [1, 2, 4, 5]
    assert found[1].wall_s == pytest.approx(1 + 10 + 60 + 300)
    assert found[5].alone_s == found[1].alone_s == pytest.approx(11)
    # Ten parts on five workers: two each, those of the other runs begin a second later.
    assert found[5].render_s == pytest.approx(2 * (30 + 1))
    assert found[5].track_s == pytest.approx(2 * (6 + 1))
    assert found[5].binding == "rendering"


def test_more_workers_than_parts_help_no_more() -> None:
    found = times(PLAIN, 64)
    assert found[16].wall_s == found[64].wall_s
    assert found[64].render_s == pytest.approx(31)


def test_sixteen_parts_are_at_work_at_most() -> None:
    found = times(PLAIN, 64, segment_s=10.0)
    assert found[16].wall_s == found[64].wall_s < found[8].wall_s


def test_a_job_that_is_not_cut_takes_as_long_on_any_number_of_workers() -> None:
    for segment_s in (0.0, 600.0, 3600.0):
        assert len({time.wall_s for time in times(PLAIN, 8, segment_s).values()}) == 1


def test_cores_of_a_worker_count_as_far_as_a_step_has_threads() -> None:
    made = costs(render=step("render", 300.0, threads=1.5))
    assert times(made, 1, cores=1.0)[1].wall_s == pytest.approx(300)
    assert times(made, 1, cores=64.0)[1].wall_s == pytest.approx(200)


def test_segments_wait_for_edits_of_a_network_that_sees_pictures() -> None:
    """The first segment is rendered while the last one is inferred."""
    infer = step("infer", 0.0, gpu_s=100.0, pool="gpu")
    found = times(costs(infer=infer, render=step("render", 100.0)), 1)
    assert found[1].wall_s == pytest.approx(10 + 100)  # the first edits, then all segments


def test_the_reference_of_each_model_gives_times() -> None:
    for model in ("viseme", "wav2lip"):
        found = times(reference_costs(model).for_clip(3600), 8)
        assert found[8].wall_s < 0.3 * found[1].wall_s
