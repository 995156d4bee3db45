"""What Triton's Python backend runs: it joins the requests of a batch, runs the network beside it once, and splits.

The file `network.py` beside it gives `Network`: one of the other files of this folder.
"""

import json
from pathlib import Path

import numpy as np
import triton_python_backend_utils as triton  # Triton's stub brings it
from network import Network


class TritonPythonModel:
    """The interface is Triton's."""

    def initialize(self, args):
        """Open the network; Triton's configuration names its inputs and outputs."""
        config = json.loads(args["model_config"])
        self._inputs = [each["name"] for each in config["input"]]
        self._outputs = [each["name"] for each in config["output"]]
        self._network = Network(config, Path(__file__).parent)

    def execute(self, requests):
        """Answer all requests of a batch after one run of the network."""
        given = [[triton.get_input_tensor_by_name(each, name).as_numpy() for name in self._inputs] for each in requests]
        joined = [np.concatenate(arrays) for arrays in zip(*given, strict=True)]
        outputs = self._network.run(dict(zip(self._inputs, joined, strict=True)))
        ends = np.cumsum([len(arrays[0]) for arrays in given])[:-1]
        parts = zip(*(np.split(array, ends) for array in outputs), strict=True)
        return [self._response(arrays) for arrays in parts]

    def _response(self, arrays):
        named = zip(self._outputs, arrays, strict=True)
        return triton.InferenceResponse([triton.Tensor(name, np.ascontiguousarray(array)) for name, array in named])
