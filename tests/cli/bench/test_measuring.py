"""A measurement ends where the service has gone, rather than at figures that mean nothing."""

from pathlib import Path
from typing import TYPE_CHECKING, cast

import pytest

pytest.importorskip("pydantic_settings", reason="a measurement needs the extra 'service'")

from lipsync_cli.bench.figures import Load
from lipsync_cli.bench.form import Form, Level
from lipsync_cli.bench.inputs import InputPair
from lipsync_cli.bench.measuring import Measurement, Order
from lipsync_service.errors import ServiceDownError

if TYPE_CHECKING:
    from lipsync_cli.bench.target import Target
    from tests.conftest import MakeVideo, Tone


class DyingService:
    """Does the first request, and none after it."""

    parts = None
    notes = ()

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
        runs_before_level=0,
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
