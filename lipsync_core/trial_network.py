"""A small ONNX network, written byte by byte, whose result is known: relu(conv(x)) + x.

The file format is that of onnx.proto (protocol buffers); `onnx` itself is not needed to run networks. All numbers are
small integers, which every precision from TF32 up keeps exactly.
"""

import struct
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

INPUT = "x"
_SIDE_PX = 8
_SHAPE = (1, 1, _SIDE_PX, _SIDE_PX)
_KERNEL = np.array([[0, 1, 0], [1, -4, 1], [0, 1, 0]], np.float32)  # the discrete Laplacian
_IR_VERSION, _OPSET = 8, 13  # old enough for every ONNX Runtime of the last years
_FLOAT = 1  # TensorProto.DataType
_INTS = 7  # AttributeProto.AttributeType
_VARINT, _BYTES = 0, 2  # wire types of protocol buffers


def trial_input() -> NDArray[np.float32]:
    """(1, 1, 8, 8) float32 in -5..5."""
    return (np.arange(_SIDE_PX * _SIDE_PX, dtype=np.float32) * 7 % 11 - 5).reshape(_SHAPE)


def trial_result() -> NDArray[np.float32]:
    """(1, 1, 8, 8) float32: the network's result for `trial_input`, worked out in numpy."""
    x = trial_input()[0, 0]
    padded = np.pad(x, 1)
    windows = np.lib.stride_tricks.sliding_window_view(padded, _KERNEL.shape)  # (8, 8, 3, 3) view
    summed = (windows * _KERNEL).sum(axis=(2, 3), dtype=np.float32)  # (8, 8)
    result: NDArray[np.float32] = (np.maximum(summed, 0) + x).reshape(_SHAPE)
    return result


def trial_network() -> bytes:
    """The network as an ONNX file."""
    padding = b"".join(_number(8, 1) for _ in range(4))  # one pixel on each side
    pads = _field(1, b"pads") + padding + _number(20, _INTS)  # an AttributeProto
    nodes = (
        _node("Conv", (INPUT, "kernel"), "edges", _field(5, pads)),
        _node("Relu", ("edges",), "rectified"),
        _node("Add", ("rectified", INPUT), "y"),
    )
    graph = b"".join(
        (
            *(_field(1, node) for node in nodes),
            _field(2, b"trial"),
            _field(5, _tensor("kernel", _KERNEL[np.newaxis, np.newaxis])),
            _field(11, _array_of(INPUT)),
            _field(12, _array_of("y")),
        )
    )
    return _number(1, _IR_VERSION) + _field(7, graph) + _field(8, _number(2, _OPSET))


def _node(operator: str, inputs: Sequence[str], output: str, attributes: bytes = b"") -> bytes:
    """A NodeProto."""
    named = b"".join(_field(1, name.encode()) for name in inputs)
    return named + _field(2, output.encode()) + _field(3, output.encode()) + _field(4, operator.encode()) + attributes


def _tensor(name: str, values: NDArray[np.float32]) -> bytes:
    """A TensorProto."""
    sizes = b"".join(_number(1, size) for size in values.shape)
    little_endian = struct.pack(f"<{values.size}f", *values.ravel().tolist())
    return sizes + _number(2, _FLOAT) + _field(8, name.encode()) + _field(9, little_endian)


def _array_of(name: str) -> bytes:
    """A ValueInfoProto of float32 in the shape of the trial."""
    sizes = b"".join(_field(1, _number(1, size)) for size in _SHAPE)
    tensor_type = _number(1, _FLOAT) + _field(2, sizes)
    return _field(1, name.encode()) + _field(2, _field(1, tensor_type))


def _number(field: int, value: int) -> bytes:
    return _varint(field << 3 | _VARINT) + _varint(value)


def _field(field: int, content: bytes) -> bytes:
    return _varint(field << 3 | _BYTES) + _varint(len(content)) + content


def _varint(value: int) -> bytes:
    """Seven bits a byte, the lowest first; the highest bit says that more follow."""
    encoded = bytearray()
    while value > 0x7F:
        encoded.append(value & 0x7F | 0x80)
        value >>= 7
    encoded.append(value)
    return bytes(encoded)
