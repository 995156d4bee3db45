"""Keeps numerical libraries from starting threads of their own."""

from collections.abc import Iterator
from contextlib import contextmanager

import cv2
from threadpoolctl import threadpool_limits


@contextmanager
def no_thread_pools() -> Iterator[None]:
    """Keep OpenCV and BLAS to the calling thread for the block.

    Regions and systems of equations are small, so threads gain nothing on them. Their waiting loops took a third of
    all CPU time from the codecs, which use every core.
    """
    threads = cv2.getNumThreads()
    cv2.setNumThreads(1)
    try:
        with threadpool_limits(limits=1, user_api="blas"):
            yield
    finally:
        cv2.setNumThreads(threads)
