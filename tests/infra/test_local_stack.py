"""The pools of the local stack: the GPU pool where a GPU is that no model server holds, or where it is asked for."""

import pytest

pytest.importorskip("prefect", reason="the extra service is not installed")

from infra.local.process import StackError
from infra.local.stack import gpu_pool
from lipsync_service.gpu_meter import GpuSample
from lipsync_service.names import GPU_POOL


@pytest.mark.parametrize(
    ("has_gpu", "settings", "pool"),
    [
        (False, {}, None),
        (True, {}, GPU_POOL),
        (True, {"LIPSYNC_MODEL_SERVER": "grpc://127.0.0.1:8001"}, None),
        (True, {"LIPSYNC_GPU_POOL": ""}, None),
        (False, {"LIPSYNC_GPU_POOL": GPU_POOL}, GPU_POOL),
    ],
)
def test_the_gpu_pool_is_used_where_a_gpu_is_or_where_it_is_asked_for(
    has_gpu: bool, settings: dict[str, str], pool: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("LIPSYNC_GPU_POOL", "LIPSYNC_MODEL_SERVER"):
        monkeypatch.delenv(name, raising=False)
    for name, value in settings.items():
        monkeypatch.setenv(name, value)
    read = (lambda: GpuSample(0.5, 1 << 30)) if has_gpu else None
    monkeypatch.setattr("infra.local.stack.open_gpu", lambda _visible: read)
    assert gpu_pool() == pool


def test_the_stack_fails_when_the_gpu_pool_has_another_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LIPSYNC_GPU_POOL", "my-gpus")
    with pytest.raises(StackError, match=r"LIPSYNC_GPU_POOL is my-gpus.*lipsync-gpu"):
        gpu_pool()
