"""ONNX Runtime on a machine with a GPU, for tests on machines without one.

With this folder's parent first on PYTHONPATH, `import onnxruntime` gives this package. It is the installed ONNX Runtime
itself, but its sessions always run on the CPU, under the name of any provider. The environment sets its behaviour:

    STAND_IN_PROVIDERS  providers to offer beside the real ones, such as CUDAExecutionProvider; commas between several
    STAND_IN_FALLBACK   how such a provider falls back without a word: `opening` (the session opens on the CPU), `nodes`
                        (the session leaves the first node to the CPU), `nodes:Gemm` (it leaves every node of that
                        operator) or `run` (every run fails with EPFail, after which the real wrapper opens the session
                        again on the CPU, unless it was told not to). Or how it fails: `open_fail` (no file can be
                        opened: Fail), `no_device` (no session can be opened, as without a GPU: RuntimeError) or
                        `refusal` (a network without a file has work for the CPU, which its session forbids: Fail)
    STAND_IN_LOG        a file that gets one JSON line for every session opened and every run
"""

import importlib
import importlib.machinery
import json
import os
import sys
from pathlib import Path

_HERE = Path(__file__).resolve().parent
_found = importlib.machinery.PathFinder.find_spec(
    "onnxruntime", [each for each in sys.path if Path(each or ".").resolve() != _HERE.parent]
)
if _found is None or _found.origin is None:
    raise ImportError("no onnxruntime is installed behind the stand-in", name="onnxruntime")
# The real package's code runs as this module's, so that its own modules find each other under their usual names.
__path__ = list(_found.submodule_search_locations or ())
__file__ = _found.origin
exec(compile(Path(__file__).read_bytes(), __file__, "exec"))

_errors = importlib.import_module("onnxruntime.capi.onnxruntime_pybind11_state")

_CPU = "CPUExecutionProvider"
#: The messages of the real one in this case, in its own form: the first ends with a line break, before the colour does.
_LIBRARY_MISSING = (
    b"\x1b[1;31m2026-01-01 00:00:00.0 [E:onnxruntime:Default, provider_bridge_ort.cc:1 TryGetProviderInfo_CUDA] "
    b"/src/core/session/provider_bridge_ort.cc:1 onnxruntime::Provider& onnxruntime::ProviderLibrary::Get() "
    b"[ONNXRuntimeError] : 1 : FAIL : Failed to load library libstandin.so with error: libstandin.so.1: cannot open "
    b"shared object file\n\x1b[m\n"
    b"\x1b[0;93m2026-01-01 00:00:00.1 [W:onnxruntime:Default, onnxruntime_pybind_state.cc:1 "
    b"CreateExecutionProviderInstance] Failed to create CUDAExecutionProvider.\x1b[m\n"
)
#: The real one's two messages where its libraries find no GPU.
_NO_DEVICE = (
    "/src/core/providers/cuda/cuda_call.cc:1 std::conditional_t<THRW, void, onnxruntime::common::Status> "
    "onnxruntime::CudaCall(ERRTYPE, const char*, int) [with ERRTYPE = cudaError; bool THRW = true] CUDA failure 100: "
    "no CUDA-capable device is detected ; GPU=-1 ; hostname=stand-in ; file=/src/cuda_execution_provider.cc ; line=1 ; "
    "expr=cudaSetDevice(info_.device_id); "
)
_NO_DEVICE_LOGGED = (
    f"\x1b[1;31m2026-01-01 00:00:00.0 [E:onnxruntime:Default, cuda_call.cc:1 CudaCall] {_NO_DEVICE}\x1b[m\n"
)
_REFUSAL = (
    "[ONNXRuntimeError] : 1 : FAIL : This session contains graph nodes that are assigned to the default CPU EP, but "
    "fallback to CPU EP has been explicitly disabled by the user."
)
_CANNOT_OPEN = "[ONNXRuntimeError] : 1 : FAIL : /src/core/session/inference_session.cc:1 the stand-in opens no file"
_RealSession = InferenceSession  # noqa: F821
_real_providers = get_available_providers  # noqa: F821


def _offered():
    return [name for name in os.environ.get("STAND_IN_PROVIDERS", "").split(",") if name]


def _fallback():
    return os.environ.get("STAND_IN_FALLBACK", "")


def _log(**fields):
    path = os.environ.get("STAND_IN_LOG")
    if path:
        line = json.dumps({**fields, "pid": os.getpid()}) + "\n"
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o666)
        try:
            os.write(handle, line.encode())  # in one call: many processes write to the file
        finally:
            os.close(handle)


def get_available_providers():
    return [*_offered(), *_real_providers()]


class _Subgraph:
    """One provider's work under another provider's name."""

    def __init__(self, nodes, ep_name):
        self._nodes = nodes
        self.ep_name = ep_name

    def get_nodes(self):
        return self._nodes


class InferenceSession(_RealSession):
    """A session that claims to run on the requested provider."""

    def __init__(self, path_or_bytes, sess_options=None, providers=None, provider_options=None, **kwargs):
        asked = [each[0] if isinstance(each, tuple) else each for each in providers or ()]
        self._model = None if isinstance(path_or_bytes, bytes) else os.fspath(path_or_bytes)
        self._asked = asked or [_CPU]
        self._is_pretending = self._asked[0] in _offered()
        if self._is_pretending and sess_options is not None:
            sess_options.add_session_config_entry("session.disable_cpu_ep_fallback", "0")  # there is no other provider
            providers, provider_options = [_CPU], None
            self._fail()
        super().__init__(path_or_bytes, sess_options, providers, provider_options, **kwargs)
        if self._is_pretending and _fallback() == "opening":
            os.write(2, _LIBRARY_MISSING)
            self._asked, self._is_pretending = [_CPU], False
        self._log("open")

    def _fail(self):
        if _fallback() == "open_fail" and self._model is not None:
            raise _errors.Fail(_CANNOT_OPEN)
        if _fallback() == "refusal" and self._model is None:
            raise _errors.Fail(_REFUSAL)
        if _fallback() == "no_device":
            os.write(2, _NO_DEVICE_LOGGED.encode())
            raise RuntimeError(_NO_DEVICE)

    def get_providers(self):
        if not self._is_pretending:
            return super().get_providers()
        return [*(name for name in self._asked if name != _CPU), _CPU]

    def get_provider_graph_assignment_info(self):
        real = super().get_provider_graph_assignment_info()
        if not self._is_pretending:
            return real
        nodes = [node for each in real for node in each.get_nodes()]
        kind, _, operator = _fallback().partition(":")
        left = [kind == "nodes" and (node.op_type == operator or not (at or operator)) for at, node in enumerate(nodes)]
        return [_Subgraph([node], _CPU if on_cpu else self._asked[0]) for node, on_cpu in zip(nodes, left, strict=True)]

    def run(self, output_names, input_feed, run_options=None):
        if self._is_pretending and _fallback() == "run":
            if not self._enable_fallback:
                raise _errors.EPFail("[ONNXRuntimeError] : 11 : EP_FAIL : the stand-in's provider failed")
            self._asked, self._is_pretending = [_CPU], False
        self._log("run")
        return super().run(output_names, input_feed, run_options)

    def _log(self, event):
        _log(event=event, model=self._model, provider=self._asked[0])
