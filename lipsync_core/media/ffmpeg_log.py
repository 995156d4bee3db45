"""FFmpeg's own account of an error, which its exceptions lack."""

from collections.abc import Iterator
from contextlib import contextmanager

import av

#: (level, source, text)
LogLine = tuple[int, str, str]


@contextmanager
def error_log() -> Iterator[list[LogLine]]:
    """FFmpeg's errors of this thread in the block; PyAV discards them otherwise."""
    level, skips = av.logging.get_level(), av.logging.get_skip_repeated()
    av.logging.set_level(av.logging.ERROR)
    av.logging.set_skip_repeated(False)  # or a second failure in a row would lack its reason
    try:
        with av.logging.Capture() as lines:
            yield lines
    finally:
        av.logging.set_level(level)
        av.logging.set_skip_repeated(skips)


def reasons(lines: list[LogLine]) -> str:
    """The texts of the lines in one; empty where FFmpeg logged nothing."""
    return "; ".join(dict.fromkeys(text.strip().rstrip(".") for _, _, text in lines))
