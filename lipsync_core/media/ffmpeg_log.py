"""FFmpeg's own account of an error, which its exceptions lack."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager

import av

#: (level, source, text)
LogLine = tuple[int, str, str]


_lock = threading.Lock()
_wanted: list[int] = []  # the levels of all blocks of all threads; FFmpeg has one level for the process
_usual: tuple[int | None, bool] = (None, True)  # PyAV's level and whether it skips repetitions, outside all blocks


@contextmanager
def error_log() -> Iterator[list[LogLine]]:
    """FFmpeg's errors of this thread in the block; PyAV discards them otherwise."""
    with log_of(av.logging.ERROR) as lines:
        yield lines


@contextmanager
def log_of(level: int) -> Iterator[list[LogLine]]:
    """FFmpeg's lines of this thread in the block, up to `level` (`av.logging.INFO`); perhaps more, for another thread.

    Blocks of several threads may overlap; the last one puts the usual level back.
    """
    _enter(level)
    try:
        with av.logging.Capture() as lines:
            yield lines
    finally:
        _leave(level)


def _enter(level: int) -> None:
    global _usual  # FFmpeg's settings are the process's, too
    with _lock:
        if not _wanted:
            _usual = av.logging.get_level(), av.logging.get_skip_repeated()
        _wanted.append(level)
        av.logging.set_level(max(_wanted))
        av.logging.set_skip_repeated(False)  # or a second failure in a row would lack its reason


def _leave(level: int) -> None:
    with _lock:
        _wanted.remove(level)
        if _wanted:
            av.logging.set_level(max(_wanted))
            return
        usual_level, is_skipping = _usual
        av.logging.set_level(usual_level)
        av.logging.set_skip_repeated(is_skipping)


def reasons(lines: list[LogLine]) -> str:
    """The texts of the lines in one; empty where FFmpeg logged nothing."""
    return "; ".join(dict.fromkeys(text.strip().rstrip(".") for _, _, text in lines))
