"""The threads of this process: one for each numerical library, and a share of the machine for codecs and networks."""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache

import cv2
from threadpoolctl import ThreadpoolController

from lipsync_core.in_force import InForce
from lipsync_core.machine import allowed_cores, usable_cores

_share: InForce[int | None] = InForce(None)  # of this process, as `threads_limited` sets it


@contextmanager
def no_thread_pools() -> Iterator[None]:
    """Keep OpenCV and BLAS to the calling thread for the block.

    Regions and systems of equations are small, so threads gain nothing on them. Their waiting loops took a third of
    all CPU time from the codecs, which use every core.
    """
    threads = cv2.getNumThreads()
    cv2.setNumThreads(1)
    try:
        with blas_libraries().limit(limits=1, user_api="blas"):
            yield
    finally:
        cv2.setNumThreads(threads)


@cache
def blas_libraries() -> ThreadpoolController:
    """The BLAS libraries of this process. All are loaded with this module's imports; looking for them takes 12 ms."""
    return ThreadpoolController()


@contextmanager
def threads_limited(count: int | None) -> Iterator[None]:
    """Let each codec and each network that this process opens in the block have `count` threads; None: as before.

    A process that shares its machine with others like it calls it. x264 promises equal
    pictures for equal numbers only, though those of natural clips were equal with 1 to 4 threads.
    """
    with _share.changed(_share.value if count is None else max(1, count)):
        yield


def network_threads() -> int:
    """The threads of one network: this process's share, by default one for each usable core."""
    return _share.value or usable_cores()


def codec_threads() -> int:
    """The threads of one encoder or decoder: this process's share; 0, the codec's own choice, where none is set.

    A codec's own choice follows the machine's cores and knows no quota, so a quota is named here.
    """
    return _share.value or (usable_cores() if usable_cores() < allowed_cores() else 0)
