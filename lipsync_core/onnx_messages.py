"""ONNX Runtime's messages: its log lines held back from standard error, and the cause in them on one line."""

import logging
import re
from collections.abc import Iterator
from contextlib import contextmanager

from lipsync_core.native_stderr import held_stderr

_logger = logging.getLogger(__name__)
#: How ONNX Runtime's own log writes a line: time, severity, logger and line of its source, then the message.
_LOGGED = re.compile(r"\[(?P<severity>[A-Z]):onnxruntime:[^\]]*\] (?P<message>[^\x1b\n]*)")
#: The end of a coloured message. It has a line of its own where the message ends with a line break.
_RESET = re.compile(r"^\x1b\[m$")
#: A line of the C++ source and the function's signature, which precede many messages.
_SOURCE = re.compile(
    r"\S+\.(?:cc|cpp|cu|cuh|h|hpp):\d+ "
    r"(?:(?:[^()]*::)?[\w~]+\([^()]*\)(?: const)?(?: \[with [^\]]*\])? |\w+(?:::[\w~]+)+ )?"  # the latter on Windows
)
#: The name, number and code of an error; a failed load has the file's path behind them.
_CODE = re.compile(r"^.*\[ONNXRuntimeError\] : \d+ : \w+ : (?:Load model from \S+ failed:)?")
_CUDA_DETAILS = re.compile(r" ; GPU=-?\d+ ;.*$")  # behind a CUDA error: host, source file, line and expression


@contextmanager
def held_log() -> Iterator[list[str]]:
    """Hold back the lines that ONNX Runtime logs on standard error meanwhile; the list has them at the end."""
    with held_stderr(lambda line: bool(_LOGGED.search(line) or _RESET.search(line))) as logged:
        yield logged
    for line in logged:
        _logger.debug("ONNX Runtime: %s", line.strip())


def first_cause(logged: list[str]) -> str:
    """The first error among log lines, such as a missing library; later ones name its consequences. Or empty."""
    messages = [found["message"] for found in map(_LOGGED.search, logged) if found and found["severity"] == "E"]
    return plain(messages[0]) if messages else ""


def plain(message: str) -> str:
    """The first line of a message, without error code, source file and function in front."""
    first = (message.strip().splitlines() or [""])[0]
    return _CUDA_DETAILS.sub("", _SOURCE.sub("", _CODE.sub("", first))).strip()
