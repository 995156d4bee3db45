"""Runs a TensorFlow Lite model with one picture in and a few arrays out, on one thread."""

import os
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from lipsync_core.errors import ModelError

#: LiteRT's native code writes this line on standard error once per process, and has no option to leave it out.
_GREETING = b"INFO: Created TensorFlow Lite XNNPACK delegate for CPU."


class TfliteModel:
    """A model that takes one square RGB picture.

    Raises:
        ModelError: the file is not a model that LiteRT can run.
    """

    def __init__(self, path: Path) -> None:
        # Imported here because it costs 60 ms, which commands that track nothing need not spend.
        from ai_edge_litert.interpreter import Interpreter  # type: ignore[import-untyped]

        try:
            with _without_greeting():
                self._interpreter = Interpreter(str(path), num_threads=1)
                self._interpreter.allocate_tensors()
        except (ValueError, RuntimeError) as exc:
            raise ModelError(f"{path} cannot be run: {exc}") from exc
        inputs = self._interpreter.get_input_details()[0]
        self._input = int(inputs["index"])
        self._outputs = [int(output["index"]) for output in self._interpreter.get_output_details()]
        self.size_px = int(inputs["shape"][1])

    def run(self, picture: NDArray[np.float32]) -> list[NDArray[np.float32]]:
        """Outputs, largest first, for `picture` ((size_px, size_px, 3) RGB in the model's own range)."""
        self._interpreter.set_tensor(self._input, picture[np.newaxis])
        self._interpreter.invoke()
        outputs = [self._interpreter.get_tensor(index) for index in self._outputs]
        return sorted(outputs, key=lambda output: -output.size)


@contextmanager
def _without_greeting() -> Iterator[None]:
    """Hold back standard error while a model loads, then pass on all of it but the greeting."""
    sys.stderr.flush()
    kept = os.dup(2)
    with tempfile.TemporaryFile() as held:
        os.dup2(held.fileno(), 2)
        try:
            yield
        finally:
            os.dup2(kept, 2)
            os.close(kept)
            held.seek(0)
            for line in held:
                if not line.startswith(_GREETING):
                    os.write(2, line)
