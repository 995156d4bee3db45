"""Runs a TensorFlow Lite model with one picture in and a few arrays out, on one thread."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from lipsync_core.errors import ModelError
from lipsync_core.native_stderr import held_stderr

#: LiteRT's native code writes this on standard error once per process, and has no option against it.
_GREETING = "INFO: Created TensorFlow Lite XNNPACK delegate for CPU."


class TfliteModel:
    """A model that takes one square RGB picture.

    Raises:
        ModelError: the file is not a model that LiteRT can run.
    """

    def __init__(self, path: Path) -> None:
        # Imported here because it costs 60 ms, which commands that track nothing need not spend.
        from ai_edge_litert.interpreter import Interpreter  # type: ignore[import-untyped]

        try:
            with held_stderr(lambda line: line.startswith(_GREETING)):
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
