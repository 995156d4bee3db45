"""The figures made from a GPU's samples; a job without a GPU is not disturbed."""

import logging
import sqlite3
import sys
import threading
import time
from itertools import chain, repeat
from pathlib import Path
from uuid import uuid4

import pytest

from lipsync_service import gpu_meter
from lipsync_service.gpu_meter import GpuSample, GpuUse, gpu_watched, open_gpu
from lipsync_service.ledger.database import upgrade
from lipsync_service.settings import Settings
from tasks.recorder import JobRecorder, RunContext
from tasks.stage_log import StageLog


class CountedSamples:
    """Gives the samples one after the other, then repeats the last one, and counts."""

    def __init__(self, *samples: GpuSample) -> None:
        self.given = 0
        self._samples = chain(samples, repeat(samples[-1]))

    def __call__(self) -> GpuSample:
        self.given += 1
        return next(self._samples)


def is_sampling() -> bool:
    return any(thread.name == "gpu-meter" for thread in threading.enumerate())


@pytest.fixture
def no_driver(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Make the driver's files absent, on any machine."""
    monkeypatch.setattr(gpu_meter, "DRIVER_FILES", (tmp_path / "absent",))
    monkeypatch.setitem(sys.modules, "pynvml", None)  # importing it would raise


@pytest.fixture
def broken_driver(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A machine with the driver's file and without its library."""
    (tmp_path / "nvidiactl").touch()
    monkeypatch.setattr(gpu_meter, "DRIVER_FILES", (tmp_path / "nvidiactl",))
    if any(path.exists() for path in (Path("/dev/nvidiactl"), Path("/dev/dxg"))):
        pytest.skip("this machine has a GPU whose driver works")


def test_the_use_is_the_mean_of_the_work_and_the_most_of_the_memory() -> None:
    use = GpuUse()
    for sample in (GpuSample(0.5, 100), GpuSample(1.0, 300), GpuSample(None, 200), GpuSample(0.0, None)):
        use.add(sample)
    assert use.mean_utilisation == pytest.approx(0.5)
    assert use.peak_memory_bytes == 300


def test_a_gpu_that_tells_nothing_has_no_use() -> None:
    use = GpuUse()
    use.add(GpuSample(None, None))
    assert (use.mean_utilisation, use.peak_memory_bytes) == (None, None)


def test_a_stage_is_sampled_while_it_runs_and_as_it_ends() -> None:
    read = CountedSamples(GpuSample(0.25, 100), GpuSample(0.75, 900), GpuSample(0.5, 50))
    deadline = time.monotonic() + 10
    use = GpuUse()
    with gpu_watched(read, use, every_s=0.01):
        while read.given < 3 and time.monotonic() < deadline:
            time.sleep(0.01)
    assert read.given >= 3
    assert use.mean_utilisation == pytest.approx(0.5)
    assert use.peak_memory_bytes == 900
    assert not is_sampling()


def test_a_stage_shorter_than_the_pause_between_samples_has_one() -> None:
    read = CountedSamples(GpuSample(0.25, 100))
    use = GpuUse()
    with gpu_watched(read, use, every_s=60):
        pass
    assert (read.given, use.mean_utilisation, use.peak_memory_bytes) == (1, 0.25, 100)


def test_the_sampling_stops_when_the_stage_fails() -> None:
    read = CountedSamples(GpuSample(0.25, 100))
    use = GpuUse()
    with pytest.raises(ValueError, match="broken"), gpu_watched(read, use):
        raise ValueError("broken")
    assert use.peak_memory_bytes == 100
    assert not is_sampling()


def test_a_job_goes_on_when_the_driver_answers_no_more() -> None:
    asked, answers = threading.Event(), threading.Event()

    def read() -> GpuSample:
        asked.set()
        answers.wait(120)
        return GpuSample(1.0, 1)

    use = GpuUse()
    with gpu_watched(read, use, every_s=0.01):
        assert asked.wait(60)
    assert is_sampling()  # the stage has ended while the driver is still asked
    assert use.mean_utilisation is None
    answers.set()


def test_the_log_of_stages_says_what_the_gpu_did() -> None:
    log = StageLog(CountedSamples(GpuSample(0.5, 100)))
    with pytest.raises(ValueError, match="broken"), log.stage("track"):
        raise ValueError("broken")
    [run] = log.runs
    assert (run.stage, run.gpu_util, run.gpu_mem_bytes) == ("track", 0.5, 100)
    without = StageLog()
    with without.stage("track"):
        pass
    assert (without.runs[0].gpu_util, without.runs[0].gpu_mem_bytes) == (None, None)


def test_the_ledger_keeps_what_the_gpu_did(tmp_path: Path) -> None:
    log = StageLog(CountedSamples(GpuSample(0.5, 100)))
    with log.stage("infer") as meter, meter.clock.stage("sampling", items=1):
        pass
    settings = Settings(database_url=f"sqlite:///{tmp_path}/ledger.sqlite", spool_dir=tmp_path / "spool")
    upgrade(settings.database_url.get_secret_value())
    JobRecorder(settings, RunContext(uuid4(), 1, "host", "gpu", None)).record_stages(log)
    with sqlite3.connect(tmp_path / "ledger.sqlite") as database:
        rows = dict(database.execute("SELECT stage, gpu_util || ' ' || gpu_mem_bytes FROM stage_timings").fetchall())
    database.close()
    assert rows == {"infer": "0.5 100", "sampling": None}


def test_a_stage_without_a_gpu_starts_no_thread() -> None:
    before, use = threading.active_count(), GpuUse()
    with gpu_watched(None, use):
        assert threading.active_count() == before
    assert (use.mean_utilisation, use.peak_memory_bytes) == (None, None)


@pytest.mark.usefixtures("no_driver")
def test_nothing_is_imported_without_a_driver() -> None:
    assert open_gpu() is None


@pytest.mark.usefixtures("broken_driver")
def test_a_driver_that_fails_is_noted_and_left_alone(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        assert open_gpu() is None
    assert "the use of the GPU is not measured" in caplog.text


@pytest.mark.usefixtures("broken_driver")
def test_a_missing_package_is_noted_and_left_alone(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "pynvml", None)
    with caplog.at_level(logging.INFO):
        assert open_gpu() is None
    assert "lipsync[gpu]" in caplog.text


def test_this_machines_own_gpu_is_read() -> None:
    read = open_gpu()
    if read is None:
        pytest.skip("no GPU here, or no package that reads it")
    sample = read()
    assert sample.memory_bytes is None or sample.memory_bytes > 0
    assert sample.utilisation is None or 0 <= sample.utilisation <= 1
