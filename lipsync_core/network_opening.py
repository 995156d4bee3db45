"""Opens a network: from a file, in ONNX Runtime, which is imported only then; one of a model server is open already."""

from pathlib import Path

from lipsync_core.execution import OpeningProvider
from lipsync_core.network import Network


def open_network(source: Path | Network, provider: OpeningProvider = "cpu", threads: int | None = None) -> Network:
    """The network of a file, on `provider` and `threads`; an open one as it is.

    Raises as `onnx_session.OnnxModel`.
    """
    if not isinstance(source, Path):
        return source
    from lipsync_core.onnx_session import OnnxModel

    return OnnxModel(source, provider, threads)
