"""An export is accepted for its results."""

from pathlib import Path

import pytest

from lipsync_core.errors import ModelError
from tests.wav2lip_weights import needs_torch

pytestmark = needs_torch


@pytest.mark.parametrize("difference", [2e-4, float("nan"), float("inf")])
def test_an_export_fails_when_it_computes_something_else(difference: float) -> None:
    from lipsync_core.export.onnx_export import require_equal

    require_equal(Path("a.pth"), 1e-4, 1e-4)
    with pytest.raises(ModelError, match=r"a\.pth was exported wrongly"):
        require_equal(Path("a.pth"), difference, 1e-4)
