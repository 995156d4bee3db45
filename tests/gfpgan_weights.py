"""Seeded stand-ins for GFPGAN's weights, and the public implementation for comparison.

`export/gfpgan_parameters.json` lists names and shapes of all weights of a published v1.4 checkpoint, in its order;
`export/gfpgan_forward.json` holds, at every 16th row and column, what the public implementation (TencentARC/GFPGAN
7552a77, its fixed noise) makes of `seeded_face` with `seeded_arrays`. Both were written by `public_output` and
`seeded_arrays` themselves; a test repeats that where a checkout of the repository is at hand.
"""

import importlib
import importlib.util
import json
import os
import sys
import zlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

DATA = Path(__file__).parent / "export"
#: A checkout of the public repository, with the folder `gfpgan`.
CHECKOUT = os.environ.get("LIPSYNC_TEST_GFPGAN", "")
STRIDE = 16  # of the golden output

Shape = tuple[int, ...]

needs_checkout = pytest.mark.skipif(
    not CHECKOUT, reason="LIPSYNC_TEST_GFPGAN names no checkout of TencentARC/GFPGAN; its stored output is compared"
)


def published_shapes() -> dict[str, Shape]:
    """The shape of every weight of a published checkpoint, by name."""
    listed = json.loads((DATA / "gfpgan_parameters.json").read_text(encoding="utf-8"))
    return {name: tuple(shape) for name, shape in listed.items()}


def golden_output() -> NDArray[np.float32]:
    """(1, 3, 32, 32) every 16th row and column of the public implementation's output."""
    stored = json.loads((DATA / "gfpgan_forward.json").read_text(encoding="utf-8"))
    return np.array(stored, np.float32)[np.newaxis]


def seeded_arrays(shapes: Mapping[str, Shape]) -> dict[str, NDArray[np.float32]]:
    """Weights that keep activations of about 1, each from its own name alone."""
    return {name: _seeded_array(name, shape) for name, shape in shapes.items()}


def seeded_face(side_px: int = 512) -> NDArray[np.float32]:
    """(1, 3, side_px, side_px) in -1..1."""
    return np.random.RandomState(0).uniform(-1.0, 1.0, (1, 3, side_px, side_px)).astype(np.float32)


def seeded_tensors(shapes: Mapping[str, Shape]) -> dict[str, Any]:
    """The same weights for torch."""
    import torch

    return {name: torch.from_numpy(array) for name, array in seeded_arrays(shapes).items()}


def public_output(checkout: Path) -> NDArray[np.float32]:
    """(1, 3, 512, 512) the public implementation's output, from `checkout`, for the seeded face and weights."""
    import torch

    with _public_modules(checkout):
        public = importlib.import_module("gfpgan.archs.gfpganv1_clean_arch")
        # The same arguments as in the public GFPGANer for v1.3 and v1.4.
        network = public.GFPGANv1Clean(
            512, channel_multiplier=2, fix_decoder=False, input_is_latent=True, different_w=True, sft_half=True
        )
    shapes = {name: tuple(value.shape) for name, value in network.state_dict().items()}
    assert shapes == published_shapes()
    network.load_state_dict(seeded_tensors(shapes))
    with torch.inference_mode():
        output = network.eval()(torch.from_numpy(seeded_face()), return_rgb=False, randomize_noise=False)[0]
    array: NDArray[np.float32] = output.numpy()
    return array


def _seeded_array(name: str, shape: Shape) -> NDArray[np.float32]:
    # The stream of RandomState is frozen, that of newer generators may change with numpy's version.
    uniform = np.random.RandomState(zlib.crc32(name.encode())).uniform(-(3.0**0.5), 3.0**0.5, shape)
    if "noises." in name or "constant_input" in name:
        spread, middle = 1.0, 0.0
    elif name.endswith("weight") and len(shape) > 1:
        spread, middle = float(np.prod(shape[2:] if len(shape) == 5 else shape[1:])) ** -0.5, 0.0
    else:
        spread, middle = 0.1, 1.0 if name.endswith("modulation.bias") else 0.0
    return (uniform * spread + middle).astype(np.float32)


@contextmanager
def _public_modules(checkout: Path) -> Iterator[None]:
    """Import inside the block without the package's own __init__, which needs everything that its training needs.

    From basicsr, which no longer installs, the architecture takes an initialisation, replaced by the seeded weights
    in any case, and a decorator that only keeps a list.
    """
    before = set(sys.modules)
    for name in ("gfpgan", "gfpgan.archs"):
        package = ModuleType(name)
        package.__path__ = [str(checkout / name.replace(".", "/"))]
        sys.modules[name] = package
    for name in ("basicsr", "basicsr.archs", "basicsr.archs.arch_util", "basicsr.utils", "basicsr.utils.registry"):
        sys.modules[name] = ModuleType(name)
    sys.modules["basicsr.archs.arch_util"].default_init_weights = lambda *args, **options: None  # type: ignore[attr-defined]
    sys.modules["basicsr.utils.registry"].ARCH_REGISTRY = _Registry()  # type: ignore[attr-defined]
    try:
        yield
    finally:
        for name in set(sys.modules) - before:
            if name.split(".")[0] in ("gfpgan", "basicsr"):
                del sys.modules[name]


class _Registry:
    def register(self) -> Callable[[type], type]:
        return lambda registered: registered
