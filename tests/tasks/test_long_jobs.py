"""Parts of long jobs without Prefect: machines that share only a folder make the track and the edits of one machine."""

import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from fractions import Fraction
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast
from uuid import UUID

import numpy as np
import pytest

from lipsync_core import JobOptions, Workspace
from lipsync_core.clip_plan import lay_out
from lipsync_core.errors import LipSyncError, ModelError, TransientError
from lipsync_core.segment_work import cut
from tests.conftest import Ffmpeg
from tests.echo_network import write_echo
from tests.tasks.test_part_runs import Pool
from tests.tasks.test_stages import MakeSettings, Service, fetched, ignore
from tests.wav2lip_weights import home_with

pytest.importorskip("prefect", reason="the extra service is not installed")
from lipsync_service.errors import GpuRunError, SupersededError
from lipsync_service.storage.storage import Storage
from tasks import gpu_pool
from tasks.edit_parts import EditsFacts, EditsOrder, InferringRuns, edits_orders, make_edits, tell_failure
from tasks.edits import kept_or_inferred_edits, left_to_others
from tasks.inference import InferenceJob, hear, load_gpu_pool_parts, open_inference
from tasks.job import Inferred, ServiceJob
from tasks.part_runs import PartRuns, RunPhase
from tasks.track_parts import TrackOrder, have_parts_made, make_part, track_orders
from tasks.tracks import read_clip, track_clip
from tests.thorough import first_of

LONGEST_S = Fraction(4)
JOB = UUID(int=7)


@pytest.fixture(scope="module")
def inputs(
    ffmpeg: Ffmpeg, face_clip: Path, speech_wav: Path, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, Path]:
    """Thirteen seconds of a face, at 12.5 frames/s, and eleven of speech."""
    folder = tmp_path_factory.mktemp("long")
    face, speech = folder / "face.mp4", folder / "speech.wav"
    there_and_back = "split[a][b];[b]reverse[c];[a][c]concat,loop=1:250,fps=25/2,scale=320:-2"
    ffmpeg("-i", face_clip, "-vf", there_and_back, "-t", "13", "-an", "-g", "25", face)
    ffmpeg("-stream_loop", "2", "-i", speech_wav, "-t", "11", speech)
    return face, speech


class Jobs:
    """The same job on many machines; by default all share one folder."""

    def __init__(self, folder: Path, models: Path, make_settings: MakeSettings, inputs: tuple[Path, Path]) -> None:
        self._folder, self._models, self._make_settings, self._inputs = folder, models, make_settings, inputs

    @contextmanager
    def opened(
        self, machine: str, options: JobOptions, shared: str = "shared", longest_s: Fraction = LONGEST_S
    ) -> Iterator[InferenceJob]:
        folder = self._folder / shared
        folder.mkdir(exist_ok=True)
        video, audio = (folder / path.name for path in self._inputs)
        for path, source in ((video, self._inputs[0]), (audio, self._inputs[1])):
            if not path.exists():
                shutil.copyfile(source, path)
        make_settings = partial(self._make_settings, storage_url=(folder / "storage").as_uri())
        service = Service(folder, self._models, make_settings)
        with service.machine(machine, options, is_inferring=True) as job:
            limited = replace(job, longest_segment_s=longest_s)
            yield open_inference(limited, fetched(limited, video, audio), load_gpu_pool_parts(limited), may_divide=True)


@pytest.fixture
def jobs(tmp_path: Path, workspace: Workspace, settings: MakeSettings, inputs: tuple[Path, Path]) -> Jobs:
    return Jobs(tmp_path, workspace.models, settings, inputs)


@pytest.fixture
def speaking(tmp_path: Path, settings: MakeSettings, inputs: tuple[Path, Path], model_store: object) -> Jobs:
    """With a network that sees pictures."""
    workspace = home_with(write_echo(tmp_path / "echo.onnx"), tmp_path / "home")
    return Jobs(tmp_path, workspace.models, settings, inputs)


VISEME, SPEAKING = JobOptions(model="viseme"), JobOptions(model="wav2lip")


def tracked(inference: InferenceJob, orders: Sequence[TrackOrder] = ()) -> dict[str, np.ndarray]:
    """All arrays of the track and of its findings."""
    with inference.job.log.stage("track") as meter:
        clip = read_clip(inference.job, track_clip(inference, Fraction(11), meter, ignore, orders))
    track = clip.track
    arrays = {name: getattr(track, name) for name in ("frame_pts", "boxes", "scores", "landmarks", "covered")}
    return {**arrays, **clip.findings}


def make(inference: InferenceJob, order: TrackOrder) -> None:
    with inference.job.log.stage(order.stage) as meter:
        make_part(inference.tracking, order, meter)


@pytest.fixture
def whole(jobs: Jobs) -> dict[str, np.ndarray]:
    """The track that one machine makes in one pass."""
    with jobs.opened("alone", VISEME, "elsewhere") as inference:
        return tracked(inference)


@pytest.mark.parametrize("lost", first_of([(), (0,), (1, 2), (0, 1, 2)], 3))
def test_a_track_of_parts_is_that_of_one_machine(
    lost: tuple[int, ...], jobs: Jobs, whole: dict[str, np.ndarray]
) -> None:
    with jobs.opened("first", VISEME) as inference:
        orders = track_orders(inference.job, inference.inputs, JOB)
    assert [order.count for order in orders] == [3, 3, 3]
    assert orders[-1].stop == len(whole["frame_pts"])
    for order in orders:
        if order.number not in lost:
            with jobs.opened(f"machine {order.number}", VISEME) as inference:
                make(inference, order)
    with jobs.opened("last", VISEME) as inference:
        joined = tracked(inference, orders)
        [row] = [run for run in inference.job.log.runs if run.stage == "track"]
        followed = [part for part in row.parts if part.stage == "track"]
    assert joined.keys() == whole.keys()
    for name, array in whole.items():
        np.testing.assert_array_equal(joined[name], array, err_msg=name)
    assert followed[0].items == len(whole["frame_pts"])  # of all machines, each frame once


def test_parts_that_are_damaged_or_of_another_video_are_made_again(jobs: Jobs, whole: dict[str, np.ndarray]) -> None:
    with jobs.opened("first", VISEME) as inference:
        orders = track_orders(inference.job, inference.inputs, JOB)
        for order in orders:
            make(inference, order)
        files = [Path(order.url.removeprefix("file://")) for order in orders]
        files[0].write_bytes(files[0].read_bytes()[:1000])
        files[2].write_bytes(files[1].read_bytes())
    with jobs.opened("last", VISEME) as inference:
        joined = tracked(inference, orders)
    for name, array in whole.items():
        np.testing.assert_array_equal(joined[name], array, err_msg=name)


def test_where_the_track_is_kept_no_parts_are_made(jobs: Jobs) -> None:
    with jobs.opened("first", VISEME) as inference:
        tracked(inference)
    with jobs.opened("second", VISEME) as inference:
        orders = track_orders(inference.job, inference.inputs, JOB)
        make(inference, orders[1])
        assert not inference.job.files.exists(orders[1].url)
        have_parts_made(inference.job, orders, Pool(room=9), lambda: None, make_here=None)  # does not wait


@pytest.mark.parametrize("longest_s", [Fraction(0), Fraction(60), Fraction(12)])
def test_short_videos_are_tracked_in_one_pass(longest_s: Fraction, jobs: Jobs) -> None:
    with jobs.opened("first", VISEME, longest_s=longest_s) as inference:
        assert track_orders(inference.job, inference.inputs, JOB) == ()


def test_a_run_that_tracks_itself_makes_the_parts_that_no_other_run_has_taken(jobs: Jobs) -> None:
    pool = Pool(room=0)
    made = []

    def make_here(order: TrackOrder) -> None:
        made.append(order.number)
        make(inference, order)

    with jobs.opened("first", VISEME) as inference:
        orders = track_orders(inference.job, inference.inputs, JOB)
        have_parts_made(inference.job, orders, pool, lambda: None, make_here)
        assert all(inference.job.files.exists(order.url) for order in orders)
    assert made[0] == 2  # runs take the first ones
    assert sorted(made) == [0, 1, 2]


def test_no_job_waits_for_ever_for_workers_that_are_not_there(jobs: Jobs) -> None:
    with jobs.opened("first", VISEME) as inference:
        job = replace(inference.job, max_gpu_wait_s=0.5)
        orders = track_orders(job, inference.inputs, JOB)
        with pytest.raises(GpuRunError, match="no worker"):
            have_parts_made(job, orders, Pool(room=0), lambda: None, make_here=None)


def test_a_storage_that_is_away_for_a_moment_costs_no_part(jobs: Jobs, monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[int] = []
    looks, look = iter(range(1000)), Storage.exists

    def exists(self: Storage, url: str) -> bool:
        if next(looks) % 3 == 1:
            raise TransientError("the S3 server starts")
        return look(self, url)

    def make_here(order: TrackOrder) -> None:
        made.append(order.number)
        with monkeypatch.context() as present:
            present.setattr(Storage, "exists", look)
            make(inference, order)

    with jobs.opened("first", VISEME) as inference:
        job = replace(inference.job, max_gpu_wait_s=0.0)  # it is for workers, and this run needs none
        orders = track_orders(job, inference.inputs, JOB)
        monkeypatch.setattr(Storage, "exists", exists)
        have_parts_made(job, orders, Pool(room=0), lambda: None, make_here)
    assert sorted(made) == [0, 1, 2]


def test_an_attempt_that_has_lost_its_job_waits_no_more(jobs: Jobs) -> None:
    def superseded() -> None:
        raise SupersededError("another attempt has the job")

    with jobs.opened("first", VISEME) as inference:
        orders = track_orders(inference.job, inference.inputs, JOB)
        with pytest.raises(SupersededError):
            have_parts_made(inference.job, orders, Pool(room=0), superseded, make_here=None)


class Dying(Pool):
    """Its runs end at once, without a result."""

    def order(self, order: object) -> UUID:
        run_id = super().order(order)  # type: ignore[arg-type]
        self.waiting.remove(run_id)
        self.ended.append(run_id)
        return run_id


def test_parts_of_runs_that_end_without_them_are_left_to_the_run_that_joins(jobs: Jobs) -> None:
    with jobs.opened("first", VISEME) as inference:
        orders = track_orders(inference.job, inference.inputs, JOB)
        pool = Dying(room=9)
        have_parts_made(inference.job, orders, pool, lambda: None, make_here=None)
    assert sorted(pool.ordered.values()) == [0, 1, 2]


@pytest.mark.parametrize("length", ["audio", "video"])
def test_edits_of_parts_are_those_of_one_machine(length: str, speaking: Jobs) -> None:
    options = replace(SPEAKING, length=length)
    with speaking.opened("alone", options, "elsewhere", longest_s=Fraction(0)) as inference:
        with inference.job.log.stage("listen") as meter:
            heard = hear(inference, meter)
        with inference.job.log.stage("track") as meter:
            track = track_clip(inference, heard.end_s, meter, ignore)
        with inference.job.log.stage("infer") as meter:
            edits = kept_or_inferred_edits(inference, heard, track, meter, ignore)
        with inference.job.files.fetch_shared(edits.url) as copy:
            expected = np.load(copy.path)
    with speaking.opened("first", options) as inference:
        with inference.job.log.stage("listen") as meter:
            heard = hear(inference, meter)
        assert heard.conditions is None  # it is for others to listen
        with inference.job.log.stage("track") as meter:
            track = track_clip(inference, heard.end_s, meter, ignore)
        reference = left_to_others(inference, track)
        assert reference is not None and reference.count == (3 if length == "audio" else 4)
        orders = parts_of(inference, Inferred(inference.parts.chosen, track, reference))
    rows = []
    for order in orders:
        with speaking.opened(f"machine {order.number}", options) as inference:
            with inference.job.log.stage(order.stage) as meter:
                make_edits(inference, order, meter)
                assert not meter.was_cached
            with inference.job.log.stage(order.stage) as meter:
                make_edits(inference, order, meter)
                assert meter.was_cached
            with inference.job.files.fetch_shared(order.url) as copy:
                rows.append(np.load(copy.path))
    np.testing.assert_array_equal(np.concatenate(rows), expected)


def parts_of(inference: InferenceJob, inferred: Inferred) -> tuple[EditsOrder, ...]:
    job, track = inference.job, inferred.track
    painting = inference.parts.inference.painting
    plan = lay_out(inference.inputs.video, read_clip(job, track), track.sound_end_s, painting, job.options)
    assert len(cut(plan, LONGEST_S)) == inferred.edits.count
    return edits_orders(job, plan, inferred)


@pytest.fixture
def orders(speaking: Jobs) -> Iterator[tuple[ServiceJob, tuple[EditsOrder, ...]]]:
    with speaking.opened("first", SPEAKING) as inference:
        with inference.job.log.stage("track") as meter:
            track = track_clip(inference, Fraction(11), meter, ignore)
        reference = left_to_others(inference, track)
        assert reference is not None
        yield inference.job, parts_of(inference, Inferred(inference.parts.chosen, track, reference))


def test_a_part_whose_runs_end_without_it_is_ordered_three_times(
    orders: tuple[ServiceJob, tuple[EditsOrder, ...]],
) -> None:
    job, parts = orders
    pool = Dying(room=9)
    runs = PartRuns(pool, parts, set())
    inferring = InferringRuns(job, parts, runs)
    for _ in range(2):
        runs.turn()
        runs.turn()
        inferring.look_after(0)
    runs.turn()
    runs.turn()
    with pytest.raises(GpuRunError, match="infer part 0"):
        inferring.look_after(0)
    assert list(pool.ordered.values()).count(0) == 3


def test_the_error_of_a_part_is_raised_for_the_job(orders: tuple[ServiceJob, tuple[EditsOrder, ...]]) -> None:
    job, parts = orders
    inferring = InferringRuns(job, parts, PartRuns(Pool(room=9), parts, set()))
    assert not inferring.is_ready(1)
    tell_failure(job, parts[1], ModelError("the network fails", "use another"))
    assert not inferring.is_ready(1)
    with pytest.raises(ModelError, match="the network fails"):
        inferring.look_after(1)
    inferring.look_after(1)  # it is told once, and no other attempt of the job hears of it


def test_edits_whose_rows_have_gone_are_not_ready(orders: tuple[ServiceJob, tuple[EditsOrder, ...]]) -> None:
    job, parts = orders
    inferring = InferringRuns(job, parts, PartRuns(Pool(room=9), parts, set()))
    files = [Path(url.removeprefix("file://")) for url in (parts[0].url, parts[0].facts_url)]
    files[0].parent.mkdir(parents=True, exist_ok=True)
    files[0].touch()
    files[1].write_text(EditsFacts(timings=()).model_dump_json())
    assert inferring.is_ready(0)
    files[0].unlink()
    assert not InferringRuns(job, parts, PartRuns(Pool(room=9), parts, set())).is_ready(0)


def test_segments_wait_for_their_edits() -> None:
    pool = Pool(room=0)
    ready = {0, 3}
    parts = [SimpleNamespace(number=number, stage=f"segment {number}") for number in range(5)]
    runs = PartRuns(pool, cast(Any, parts), set(), ready.__contains__)
    runs.turn()
    assert sorted(pool.ordered.values()) == [0, 3]
    ready.add(4)
    assert runs.take().number == 4  # type: ignore[union-attr]
    assert RunPhase.WAITING in pool.phases(list(pool.ordered)).values()


def test_a_run_that_infers_a_part_tells_the_job_why_it_fails(
    orders: tuple[ServiceJob, tuple[EditsOrder, ...]], monkeypatch: pytest.MonkeyPatch
) -> None:
    job, parts = orders
    errors: list[LipSyncError] = [TransientError("the storage is away"), ModelError("the network fails")]

    def failing(*_: object) -> None:
        raise errors.pop(0)

    monkeypatch.setattr(gpu_pool, "fetch_inputs", failing)
    with pytest.raises(TransientError):  # another run may do better
        gpu_pool.infer_a_part(job, cast(Any, None), parts[0])
    assert not job.files.exists(parts[0].failure_url)
    with pytest.raises(ModelError):
        gpu_pool.infer_a_part(job, cast(Any, None), parts[0])
    inferring = InferringRuns(job, parts, PartRuns(Pool(room=9), parts, set()))
    with pytest.raises(ModelError, match="the network fails"):
        inferring.look_after(0)
