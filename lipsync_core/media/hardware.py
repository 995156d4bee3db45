"""Decoding hardware that FFmpeg's decoders can use."""

from collections.abc import Callable, Mapping
from types import MappingProxyType

from av.codec.hwaccel import HWAccel


def _none(_: bool) -> HWAccel | None:
    return None


def _nvdec(has_fallback: bool) -> HWAccel:
    return HWAccel("cuda", allow_software_fallback=has_fallback)


#: For each decoder its hardware, opened anew for each file. With a fallback FFmpeg decodes on the CPU where a stream
#: turns into something that the hardware does not take. Pictures come to the system's memory in either case.
HARDWARE: Mapping[str, Callable[[bool], HWAccel | None]] = MappingProxyType({"cpu": _none, "nvdec": _nvdec})
