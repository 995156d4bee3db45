"""ONNX Runtime's messages become one line that names the cause, without the place in its C++ source."""

import pytest

from lipsync_core.onnx_messages import plain


@pytest.mark.parametrize(
    ("message", "cause"),
    [
        (
            "/src/core/provider_bridge_ort.cc:1 onnxruntime::Provider& onnxruntime::ProviderLibrary::Get() "
            "[ONNXRuntimeError] : 1 : FAIL : Failed to load library liba.so with error: libb.so.12: no such file\n",
            "Failed to load library liba.so with error: libb.so.12: no such file",
        ),
        (
            "/src/cuda_call.cc:1 std::conditional_t<THRW, void, a::Status> onnxruntime::CudaCall(ERRTYPE, const char*) "
            "[with ERRTYPE = cudaError; bool THRW = true] CUDA failure 100: no device is detected ; GPU=-1 ; "
            "hostname=host ; file=/src/a.cc ; line=1 ; expr=cudaSetDevice(info_.device_id); ",
            "CUDA failure 100: no device is detected",
        ),
        ("D:\\src\\cuda_call.cc:1 onnxruntime::CudaCall CUDA failure 100: no device", "CUDA failure 100: no device"),
        (
            "[ONNXRuntimeError] : 7 : INVALID_PROTOBUF : Load model from a.onnx failed:Protobuf parsing failed.",
            "Protobuf parsing failed.",
        ),
        ("the first line\nthe second", "the first line"),
        ("", ""),
    ],
)
def test_a_message_keeps_only_its_cause(message: str, cause: str) -> None:
    assert plain(message) == cause
