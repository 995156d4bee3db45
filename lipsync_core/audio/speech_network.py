"""The network of the speech encoder, in numpy: Whisper-tiny's encoder up to its third block.

Radford et al. 2022, "Robust Speech Recognition via Large-Scale Weak Supervision"; the weights are those of
smart-turn 3.2, which fine-tuned them on 23 languages and stores them as int8. They are dequantised once, when the file
is opened; the sums are float32. That is closer to what was trained than ONNX Runtime is, which rounds each activation
to 8 bits as well.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lipsync_core.audio.onnx_tensors import constant_tensors
from lipsync_core.errors import ModelCorruptError

WIDTH = 384
#: The blocks whose outputs are heard, counted from 1: they tell most of what a mouth does (docs/decisions.md).
HEARD_BLOCKS = (2, 3)

_HEADS = 6
_HEAD = WIDTH // _HEADS
_TAPS = 3  # of both convolutions
_EPSILON = np.float32(1e-5)
_ENCODER = "inner.encoder"
#: The names of the quantised matrices in the pinned file, where the exporter kept none of their own: query, key, value,
#: output, and both of the perceptron, block by block.
_MATRICES = (
    ("val_17", "val_25", "val_32", "val_75", "val_79", "val_88"),
    ("val_92", "val_100", "val_107", "val_148", "val_152", "val_161"),
    ("val_165", "val_173", "val_180", "val_221", "val_225", "val_234"),
)
# GELU(x) = x / 2 * (1 + erf(x / sqrt 2)) by Hendrycks and Gimpel's tanh (arXiv 1606.08415); it is off by 5e-4 at most.
_GELU_SCALE, _GELU_CUBE = np.float32(np.sqrt(2 / np.pi)), np.float32(0.044715)

_Array = NDArray[np.float32]


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class _Linear:
    matrix: _Array  # (in, out)
    bias: _Array  # (out,)

    def __call__(self, rows: _Array) -> _Array:
        product = rows @ self.matrix  # (N, out)
        product += self.bias
        return product


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class _Block:
    """A block's matrices. The gains and offsets of its normalisations are folded into the matrices behind them."""

    query_key_value: _Linear  # 384 -> 3 * 384: one product is faster than three; queries are scaled
    output: _Linear
    widening: _Linear  # 384 -> 1536
    narrowing: _Linear


class SpeechNetwork:
    """Turns the features of a window into the outputs of `HEARD_BLOCKS`. Nothing of it changes: threads share it."""

    def __init__(self, tensors: Mapping[str, NDArray[Any]]) -> None:
        """Take the weights from the `tensors` of the model file.

        Raises:
            KeyError: a tensor is missing.
        """
        self._conv1 = _convolution(tensors, "conv1")
        self._conv2 = _convolution(tensors, "conv2")
        self._positions = _kept(tensors, f"{_ENCODER}.embed_positions.weight")  # (400, 384)
        self._blocks = tuple(_block(tensors, number) for number in range(max(HEARD_BLOCKS)))

    def heard(self, features: _Array) -> _Array:
        """(400, 2, 384) float32, row j centred on 20 j ms, from `features` (800, 80)."""
        rows = _gelu(self._conv1(_neighbours(features, step=1)))  # (800, 384)
        rows = _gelu(self._conv2(_neighbours(rows, step=2)))  # (400, 384)
        rows += self._positions
        outputs = [_through(block, rows).copy() for block in self._blocks]
        return np.stack([outputs[number - 1] for number in HEARD_BLOCKS], axis=1)


@cache
def open_network(path: Path) -> SpeechNetwork:
    """The network of the file at `path`, whose sha256 the caller has checked; opened once in a process.

    A process that forks others opens it beforehand: its children share the 24 MB of weights.

    Raises:
        ModelCorruptError: the file cannot be read, or is another model.
    """
    try:
        return SpeechNetwork(constant_tensors(path))
    except KeyError as exc:
        raise ModelCorruptError(f"model file {path} has no tensor {exc}", "pull the model again") from exc


def _through(block: _Block, rows: _Array) -> _Array:
    """Add the block's two changes to `rows` (N, 384), in place; returns them."""
    rows += block.output(_attended(block.query_key_value(_normalised(rows))))
    rows += block.narrowing(_gelu(block.widening(_normalised(rows))))
    return rows


def _attended(query_key_value: _Array) -> _Array:
    """(N, 384) the values, weighted by how well each query fits each key, head by head."""
    heads = query_key_value.reshape(len(query_key_value), 3, _HEADS, _HEAD)  # (N, 3, 6, 64)
    attended: _Array = np.empty((len(heads), _HEADS, _HEAD), np.float32)
    for head in range(_HEADS):  # 0.6 MB of weights at a time stay in the cache
        query, key, value = (heads[:, part, head] for part in range(3))  # (N, 64)
        weights = query @ key.T  # (N, N)
        weights -= weights.max(axis=1, keepdims=True)
        np.exp(weights, out=weights)
        attended[:, head] = (weights @ value) / weights.sum(axis=1, keepdims=True)
    return attended.reshape(len(heads), WIDTH)


def _normalised(rows: _Array) -> _Array:
    """(N, 384) each row with mean 0 and variance 1."""
    centred: _Array = rows - rows.mean(axis=1, keepdims=True)
    variance = np.einsum("nd,nd->n", centred, centred)[:, None] / np.float32(WIDTH)
    centred /= np.sqrt(variance + _EPSILON)
    return centred


def _gelu(rows: _Array) -> _Array:
    """GELU of `rows`, in place."""
    inner = rows * rows
    inner *= _GELU_CUBE
    inner += np.float32(1.0)
    inner *= rows
    inner *= _GELU_SCALE
    np.tanh(inner, out=inner)
    inner += np.float32(1.0)
    rows *= inner
    rows *= np.float32(0.5)
    return rows


def _neighbours(rows: _Array, step: int) -> _Array:
    """(N / step, 3 * C) each `step`-th row between its neighbours, with zeros outside: a convolution's inputs."""
    padded = np.pad(rows, ((1, 1), (0, 0)))
    return np.concatenate([padded[tap : tap + len(rows) : step] for tap in range(_TAPS)], axis=1)


def _convolution(tensors: Mapping[str, NDArray[Any]], name: str) -> _Linear:
    kernel = _dequantised(tensors, f"{_ENCODER}.{name}.weight", axis=0)  # (384, C, 3)
    matrix = kernel.transpose(2, 1, 0).reshape(-1, WIDTH)  # (3 * C, 384)
    return _Linear(np.ascontiguousarray(matrix), _dequantised(tensors, f"{_ENCODER}.{name}.bias", axis=0))


def _block(tensors: Mapping[str, NDArray[Any]], number: int) -> _Block:
    prefix = f"{_ENCODER}.layers.{number}"
    query, key, value, output, widening, narrowing = (_dequantised(tensors, name, axis=1) for name in _MATRICES[number])
    biases = [tensors[f"{prefix}.self_attn.{part}_proj.bias"] for part in ("q", "v")]
    joined_bias = np.concatenate([biases[0], np.zeros(WIDTH, np.float32), biases[1]])  # keys have none
    joined = _Linear(np.concatenate([query, key, value], axis=1), joined_bias)  # (384, 1152)
    scale = np.ones(3 * WIDTH, np.float32)
    scale[:WIDTH] = _HEAD**-0.5
    attention = _behind_norm(joined, tensors, f"{prefix}.self_attn_layer_norm")
    return _Block(
        query_key_value=_Linear(attention.matrix * scale, attention.bias * scale),
        output=_Linear(output, _kept(tensors, f"{prefix}.self_attn.out_proj.bias")),
        widening=_behind_norm(_Linear(widening, tensors[f"{prefix}.fc1.bias"]), tensors, f"{prefix}.final_layer_norm"),
        narrowing=_Linear(narrowing, _kept(tensors, f"{prefix}.fc2.bias")),
    )


def _behind_norm(linear: _Linear, tensors: Mapping[str, NDArray[Any]], norm: str) -> _Linear:
    """`linear` with the gain and offset of the normalisation before it in its own matrix and bias."""
    gain, offset = tensors[f"{norm}.weight"], tensors[f"{norm}.bias"]
    return _Linear(gain[:, None] * linear.matrix, offset @ linear.matrix + linear.bias)


def _kept(tensors: Mapping[str, NDArray[Any]], name: str) -> _Array:
    """A copy of a tensor, which does not keep the whole file in memory."""
    copy: _Array = tensors[name].copy()
    return copy


def _dequantised(tensors: Mapping[str, NDArray[Any]], name: str, axis: int) -> _Array:
    """The float32 of an integer tensor; its zero points are all 0, and it has one scale for each index of `axis`."""
    quantised = tensors[f"{name}_quantized"]
    names = (f"{name}_scale", f"{name}_quantized_scale")  # the latter for biases
    scale = next(tensors[each] for each in names if each in tensors)
    shape = [-1 if index == axis else 1 for index in range(quantised.ndim)]
    product: _Array = quantised.astype(np.float32) * scale.reshape(shape)
    return product
