"""The network in `model.onnx`, on the CPU: what Triton's ONNX Runtime backend does on a GPU node."""

import onnxruntime


class Network:
    """Runs in Triton's stub."""

    def __init__(self, config, folder):
        """Open the file beside this one."""
        options = onnxruntime.SessionOptions()
        options.enable_cpu_mem_arena = False
        options.enable_mem_pattern = False
        options.intra_op_num_threads = 2
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        model = str(folder / "model.onnx")
        self._session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
        self._outputs = [each["name"] for each in config["output"]]

    def run(self, feeds):
        """All outputs."""
        return dict(zip(self._outputs, self._session.run(self._outputs, feeds), strict=True))
