"""The constant tensors of an ONNX file, read without ONNX or protobuf.

An ONNX file is one protobuf message. Of its hundreds of fields the speech encoder needs four, in three nested messages,
and none of its graph, so a walk over the wire format (protobuf.dev/programming-guides/encoding) takes fewer lines than
the declarations that a protobuf library would want. Field numbers: onnx/onnx.proto, IR version 3 and later.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lipsync_core.errors import ModelCorruptError

# The fields that are read: of ModelProto, GraphProto and TensorProto.
_GRAPH, _INITIALIZER = 7, 5
_DIMS, _TYPE, _FLOATS, _NAME, _RAW = 1, 2, 4, 8, 9
#: TensorProto.DataType: FLOAT, INT8, INT32. Tensors of other types, and integers outside raw data, are left out.
_DTYPES: Mapping[int, str] = {1: "<f4", 3: "<i1", 6: "<i4"}
_FIXED_BYTES = {1: 8, 5: 4}  # by wire type
_VARINT, _LENGTH = 0, 2

_Value = int | memoryview


def constant_tensors(path: Path) -> dict[str, NDArray[Any]]:
    """The float, int8 and int32 constants of the graph by name, as read-only views of the file's bytes.

    Raises:
        ModelCorruptError: the file cannot be read, or is no ONNX file.
    """
    try:
        content = memoryview(path.read_bytes())
        graphs = [value for number, value in _fields(content) if number == _GRAPH]
        messages = [value for graph in graphs for number, value in _fields(_bytes(graph)) if number == _INITIALIZER]
        named = [_tensor(_bytes(message)) for message in messages]
    except (OSError, ValueError, IndexError) as exc:
        raise ModelCorruptError(f"model file {path} cannot be read: {exc}", "pull the model again") from exc
    return {name: tensor for name, tensor in named if tensor is not None}


def _tensor(message: memoryview) -> tuple[str, NDArray[Any] | None]:
    dims: list[int] = []
    dtype, name, data = None, "", None
    for number, value in _fields(message):
        if number == _DIMS:
            dims += [value] if isinstance(value, int) else _varints(value)
        elif number == _TYPE and isinstance(value, int):
            dtype = _DTYPES.get(value)
        elif number in (_FLOATS, _RAW):
            data = _bytes(value)
        elif number == _NAME:
            name = str(_bytes(value), "utf-8")
    tensor = None if dtype is None or data is None else np.frombuffer(data, dtype).reshape(dims)
    return name, tensor


def _fields(message: memoryview) -> Iterator[tuple[int, _Value]]:
    """The number and value of each field: an integer, or the bytes of a string, array or message."""
    place = 0
    while place < len(message):
        key, place = _varint(message, place)
        number, wire_type = key >> 3, key & 7
        if wire_type == _VARINT:
            value, place = _varint(message, place)
            yield number, value
            continue
        if wire_type == _LENGTH:
            length, place = _varint(message, place)
        elif wire_type in _FIXED_BYTES:
            length = _FIXED_BYTES[wire_type]
        else:
            raise ValueError(f"a field of unknown wire type {wire_type}")
        if place + length > len(message):
            raise ValueError("it is truncated")
        yield number, message[place : place + length]
        place += length


def _varint(message: memoryview, place: int) -> tuple[int, int]:
    """The integer at `place`, seven bits a byte, the lowest first; and the place behind it."""
    value = shift = 0
    while True:
        byte = message[place]
        place += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, place
        shift += 7


def _varints(packed: memoryview) -> list[int]:
    values, place = [], 0
    while place < len(packed):
        value, place = _varint(packed, place)
        values.append(value)
    return values


def _bytes(value: _Value) -> memoryview:
    if isinstance(value, int):
        raise ValueError("a number stands where a message should")
    return value
