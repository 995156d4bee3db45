"""Puts the work before and after the Wav2Lip network into its ONNX file: bytes of pictures in, bytes of pictures out.

One file then serves this process and a model server, and little travels to the server: 33 KB a frame there and 15 KB
back. Each operator computes what the numpy code of `generators.wav2lip_onnx` computes, bit for bit. Needs the package
`onnx`, and no torch: a file that was imported before can be changed as well.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, compose, helper, numpy_helper

from lipsync_core.errors import ModelError
from lipsync_core.generators.wav2lip_mask import FACE_PX, FIRST_ROW
from lipsync_core.generators.wav2lip_onnx import (
    CROPS,
    CROPS_SHAPE,
    FACES_SHAPE,
    HIDDEN_FROM_ROW,
    MEL,
    MEL_SHAPE,
    MOUTH,
    PATCH_SHAPE,
    PATCHES,
    Wav2LipNetwork,
)

_INNER = "network/"  # put before all names of the network as it was
_OLDEST_OPSET = 11  # Round came with it
_REVERSED = np.array([2, 1, 0], np.int64)  # RGB to BGR, and back


def can_have_picture_ends(path: Path) -> bool:
    """Whether the Wav2Lip file lacks the ends, and its operator set has all that they need."""
    return _opset(onnx.load(str(path))) >= _OLDEST_OPSET and not Wav2LipNetwork(path, threads=1).has_picture_ends


def write_with_picture_ends(source: Path, target: Path) -> None:
    """Write the Wav2Lip of `source` to `target`, with the inputs CROPS and MEL and the outputs PATCHES and MOUTH.

    It is accepted only if both files give the same bytes for random pictures.

    Raises:
        ModelError: the file is not Wav2Lip, or of an operator set that is too old, or the results differ.
    """
    network = Wav2LipNetwork(source, threads=1)
    model = onnx.load(str(source))
    if _opset(model) < _OLDEST_OPSET:
        raise ModelError(
            f"{source} is of an ONNX operator set before {_OLDEST_OPSET}", "export it again with a newer one"
        )
    names = {_sizes(spec)[1:]: spec.name for spec in model.graph.input}
    model = compose.add_prefix(model, _INNER, inplace=True)
    _Ends(model, names).add()
    onnx.save(model, str(target))
    _require_equal(network, Wav2LipNetwork(target, threads=1), source)


def _opset(model: onnx.ModelProto) -> int:
    return next((each.version for each in model.opset_import if each.domain in ("", "ai.onnx")), 0)


class _Ends:
    """Adds nodes and constants to the graph of one model."""

    def __init__(self, model: onnx.ModelProto, names: dict[tuple[int, ...], str]) -> None:
        self._graph = model.graph
        self._batch = model.graph.input[0].type.tensor_type.shape.dim[0]
        self._mel = next((_INNER + name for sizes, name in names.items() if sizes == MEL_SHAPE), "")
        self._faces = next((_INNER + name for sizes, name in names.items() if sizes == FACES_SHAPE), "")

    def add(self) -> None:
        """Add both ends, and replace the graph's inputs and outputs."""
        inner = [*self._graph.node]
        rows = _sizes(self._graph.output[0])[2] or FACE_PX
        del self._graph.node[:]
        self._before()
        self._graph.node.extend(inner)
        self._after(self._graph.output[0].name)
        batch = self._batch.dim_value or "batch"
        self._declare(
            (
                _info(CROPS, TensorProto.UINT8, (batch, *CROPS_SHAPE)),
                _info(MEL, TensorProto.FLOAT, (batch, *MEL_SHAPE[1:])),
            ),
            (
                _info(PATCHES, TensorProto.UINT8, (batch, *PATCH_SHAPE)),
                _info(MOUTH, TensorProto.FLOAT, (batch, 3, rows, FACE_PX)),
            ),
        )

    def _before(self) -> None:
        """The crops in BGR and 0..1, once with the lower half at zero; the mel chunks with a channel."""
        shown = np.ones((1, 1, FACE_PX, 1), np.float32)
        shown[:, :, HIDDEN_FROM_ROW:] = 0.0
        self._node("Gather", (CROPS, self._constant("bgr", _REVERSED)), "crops_bgr", axis=3)
        self._node("Transpose", ("crops_bgr",), "planes", perm=[0, 3, 1, 2])  # (B, 3, 96, 96)
        self._node("Cast", ("planes",), "numbers", to=TensorProto.FLOAT)
        self._node("Mul", ("numbers", self._constant("scale", np.float32(1.0 / 255.0))), "whole")  # 0..1
        self._node("Mul", ("whole", self._constant("shown", shown)), "upper")
        self._node("Concat", ("upper", "whole"), self._faces, axis=1)  # (B, 6, 96, 96)
        shape = np.array([0, *MEL_SHAPE], np.int64)  # 0: as it is
        self._node("Reshape", (MEL, self._constant("mel_shape", shape)), self._mel)

    def _after(self, inner_output: str) -> None:
        """The mouth's rows as bytes in RGB."""
        self._node("Identity", (inner_output,), MOUTH)
        rows = [self._constant(name, np.array([value], np.int64)) for name, value in _MOUTH_ROWS]
        self._node("Slice", (MOUTH, *rows), "rows")  # (B, 3, 53, 96)
        self._node("Mul", ("rows", self._constant("most", np.float32(255.0))), "coded")
        self._node("Round", ("coded",), "rounded")
        limits = (self._constant("least", np.float32(0.0)), "ends/most")
        self._node("Clip", ("rounded", *limits), "limited")
        self._node("Cast", ("limited",), "bytes", to=TensorProto.UINT8)
        self._node("Transpose", ("bytes",), "pixels_bgr", perm=[0, 2, 3, 1])  # (B, 53, 96, 3)
        self._node("Gather", ("pixels_bgr", "ends/bgr"), PATCHES, axis=3)

    def _node(self, operator: str, inputs: Sequence[str], output: str, **attributes: Any) -> None:
        names = [_own(name) for name in inputs]
        self._graph.node.append(helper.make_node(operator, names, [_own(output)], f"ends/{output}", **attributes))

    def _constant(self, name: str, value: NDArray[np.generic] | np.generic) -> str:
        self._graph.initializer.append(numpy_helper.from_array(np.asarray(value), f"ends/{name}"))
        return f"ends/{name}"

    def _declare(self, inputs: Sequence[onnx.ValueInfoProto], outputs: Sequence[onnx.ValueInfoProto]) -> None:
        del self._graph.input[:], self._graph.output[:]
        self._graph.input.extend(inputs)
        self._graph.output.extend(outputs)


#: The inputs of Slice: the last 53 rows, on axis 2.
_MOUTH_ROWS = (("first_row", FIRST_ROW - FACE_PX), ("end_row", 2**31 - 1), ("row_axis", 2))


def _own(name: str) -> str:
    """The name of a tensor: those of the file's ends are public, those of the network have a prefix."""
    is_whole = name in (CROPS, MEL, MOUTH, PATCHES) or name.startswith((_INNER, "ends/"))
    return name if is_whole else f"ends/{name}"


def _info(name: str, kind: int, shape: Sequence[int | str]) -> onnx.ValueInfoProto:
    return helper.make_tensor_value_info(name, kind, shape)


def _sizes(info: onnx.ValueInfoProto) -> tuple[int, ...]:
    """0 where any size will do."""
    return tuple(dimension.dim_value for dimension in info.type.tensor_type.shape.dim)


def _require_equal(before: Wav2LipNetwork, after: Wav2LipNetwork, source: Path) -> None:
    rng = np.random.default_rng(0)
    for batch in (1, 3):
        mel = rng.uniform(-4.0, 4.0, (batch, *MEL_SHAPE[1:])).astype(np.float32)
        crops = rng.integers(0, 256, (batch, *CROPS_SHAPE), np.uint8)
        if not np.array_equal(before.speak(mel, crops), after.speak(mel, crops)):
            raise ModelError(f"{source} computes something else once its pictures are bytes")
