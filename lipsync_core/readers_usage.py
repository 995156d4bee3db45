"""The CPU time and memory that other processes have used for this one, which its own figures do not hold."""

import threading


class _Account(threading.local):
    """Of the present thread: a stage is charged with it as it is with the thread's own CPU time."""

    cpu_s = 0.0


_account = _Account()
_lock = threading.Lock()
_all_cpu_s = 0.0
_largest_bytes = 0
_together_bytes = 0


def thread_cpu_s() -> float:
    """CPU seconds of the readers that the present thread has asked."""
    return _account.cpu_s


def all_cpu_s() -> float:
    """CPU seconds of all readers so far."""
    return _all_cpu_s


def largest_bytes() -> int:
    """The memory of the largest reader so far, beyond what it shares with this process."""
    return _largest_bytes


def together_bytes() -> int:
    """The most memory that this process and those at parts of a movie have had at the same time."""
    return _together_bytes


def add_together(resident_bytes: int) -> None:
    """Note that this process and those at parts of a movie have had `resident_bytes` at the same time."""
    global _together_bytes
    with _lock:
        _together_bytes = max(_together_bytes, resident_bytes)


def add_cpu(cpu_s: float) -> None:
    """Charge the present thread with `cpu_s` of a reader."""
    global _all_cpu_s
    _account.cpu_s += cpu_s
    with _lock:
        _all_cpu_s += cpu_s


def add_memory(own_bytes: int) -> None:
    """Note that a reader has had `own_bytes` of its own."""
    global _largest_bytes
    with _lock:
        _largest_bytes = max(_largest_bytes, own_bytes)
