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
        """Open the network; Triton's configuration names its inputs."""
        config = json.loads(args["model_config"])
        self._inputs = [each["name"] for each in config["input"]]
        self._network = Network(config, Path(__file__).parent)

    def execute(self, requests):
        """Answer all requests of a batch after one run of the network."""
        given = [[triton.get_input_tensor_by_name(each, name).as_numpy() for name in self._inputs] for each in requests]
        joined = [np.concatenate(arrays) for arrays in zip(*given, strict=True)]
        outputs = self._network.run(dict(zip(self._inputs, joined, strict=True)))
        ends = np.cumsum([len(arrays[0]) for arrays in given])[:-1]
        parts = {name: np.split(array, ends) for name, array in outputs.items()}
        return [_response({name: arrays[each] for name, arrays in parts.items()}) for each in range(len(requests))]


def _response(outputs):
    tensors = [triton.Tensor(name, np.ascontiguousarray(array)) for name, array in outputs.items()]
    return triton.InferenceResponse(tensors)
