"""A measurement ends where the service has gone, rather than at figures that mean nothing."""

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, cast

import pytest

pytest.importorskip("pydantic_settings", reason="a measurement needs the extra 'service'")

from lipsync_cli.bench.figures import CommandRun, Figures, Load, from_file, to_json
from lipsync_cli.bench.form import Form, Level
from lipsync_cli.bench.inputs import InputPair
from lipsync_cli.bench.measuring import Measurement, Order
from lipsync_core.errors import InputError
from lipsync_service.errors import ServiceDownError
from tests.cli.bench.made_figures import FIGURES, load

if TYPE_CHECKING:
    from lipsync_cli.bench.target import Target
    from tests.conftest import MakeVideo, Tone


class DyingService:
    """Does the first request, and none after it."""

    parts = None
    notes = ()
    address = "http://127.0.0.1:4200/api"

    def __init__(self) -> None:
        self.loads = 0

    def try_out(self, pair: InputPair, model: str) -> None: ...

    def load(self, pairs: list[InputPair], at_once: int, model: str) -> Load:
        self.loads += 1
        return Load(at_once, (), ("SERVICE_UNAVAILABLE",) * len(pairs), 1.0, 0, None, None, ())


def test_measuring_fails_when_no_request_of_a_level_completes(
    make_video: "MakeVideo", tone: "Tone", tmp_path: Path
) -> None:
    form = Form(
        levels=(Level(1, 1), Level(2, 2)),
        runs_between_levels=0,
        cached=(),
        workers=(),
        worker_level=Level(1, 1),
        idle_s=0.0,
        seconds=1.0,
    )
    order = Order("quick", form, InputPair(make_video(), tone("speech.wav")), "viseme", "lipsync bench", tmp_path)
    service = DyingService()
    with pytest.raises(ServiceDownError, match="none of 1 requests completed: SERVICE_UNAVAILABLE"):
        Measurement(order, cast("Target", service), lambda step: None).figures(None)
    assert service.loads == 1  # the next level is not tried


class QuietService(DyingService):
    """Does every request, and notes each beside the runs of the command."""

    def __init__(self, order: list[str]) -> None:
        self.order = order

    def load(self, pairs: list[InputPair], at_once: int, model: str) -> Load:
        self.order.append(f"{at_once} at once")
        return replace(load(at_once, 0.1), machine=None)


def test_the_command_runs_before_between_and_after_the_levels_with_inputs_of_its_own(
    make_video: "MakeVideo", tone: "Tone", tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    form = Form(
        levels=(Level(1, 2), Level(2, 2)),
        runs_between_levels=2,
        cached=(),
        workers=(),
        worker_level=Level(1, 1),
        idle_s=0.0,
        seconds=1.0,
    )
    order, videos = [], []

    def run(pair: InputPair, model: str, home: Path, is_enhanced: bool = False) -> CommandRun:
        order.append("run")
        videos.append(pair.video)
        return CommandRun(float(len(videos)), 1.0, 1)

    monkeypatch.setattr("lipsync_cli.bench.measuring.run_command", run)
    monkeypatch.setattr("lipsync_cli.bench.measuring.ModelStore.status", lambda *_: "missing")
    wanted = Order("quick", form, InputPair(make_video(), tone("speech.wav")), "viseme", "lipsync bench", tmp_path)
    figures = Measurement(wanted, cast("Target", QuietService(order)), lambda step: None).figures(None)
    assert order == ["run", "run", "1 at once", "run", "run", "2 at once", "run", "run"]
    assert len(figures.baseline) == len(set(videos)) == 6
    assert [[run.wall_s for run in level.beside] for level in figures.levels] == [[1, 2, 3, 4], [3, 4, 5, 6]]


@pytest.mark.parametrize(
    "figures",
    [
        replace(FIGURES, baseline=()),
        replace(FIGURES, baseline=(replace(FIGURES.baseline[0], other_cpu_s=-1.0),)),
        replace(FIGURES, baseline=(CommandRun(0.0, 0.0, 0),)),
        replace(FIGURES, levels=(replace(load(1, 0.1), beside=(CommandRun(0.0, 1.0, 0),)),)),
        replace(FIGURES, levels=()),
        replace(FIGURES, levels=FIGURES.levels[::-1]),
        replace(FIGURES, levels=(load(1, 0.1), load(1, 0.1))),
        replace(FIGURES, levels=(replace(load(1, 0.1), wall_s=0.0),)),
        replace(FIGURES, levels=(replace(load(1, 0.1), request_s=()),)),
        replace(FIGURES, workers=(replace(load(1, 0.1), request_s=(float("inf"),)),)),
        replace(FIGURES, cached=(replace(load(1, 0.1), wall_s=float("nan")),)),
        replace(FIGURES, hardware=replace(FIGURES.hardware, cores=0)),
    ],
)
def test_reading_figures_fails_when_no_measurement_gives_them(figures: Figures, tmp_path: Path) -> None:
    path = tmp_path / "figures.json"
    path.write_text(to_json(figures).replace("NaN", '"NaN"'))
    with pytest.raises(InputError):
        from_file(path)


@pytest.mark.parametrize("content", [b"\xff\xfe\x00", b"", b"{", b"[]"])
def test_reading_figures_fails_when_the_file_holds_something_else(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "figures.json"
    path.write_bytes(content)
    with pytest.raises(InputError, match="holds no figures of a measurement"):
        from_file(path)
