"""Misbehaves in each way that the guard has to see."""

import os
import signal
from pathlib import Path


def misbehave(how: str) -> int:
    match how:
        case "crash":
            os.kill(os.getpid(), signal.SIGSEGV)
        case "memory":
            return len(bytearray(os.urandom(1)) * (700 << 20)) * 0
        case "leave":
            Path("left").touch()
        case "raise":
            raise ValueError(how)
    return 0
