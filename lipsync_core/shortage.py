"""A shortage of memory: recognised in the errors of every library, and reported as one error of this product."""

import errno
import re
import resource
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from lipsync_core.errors import MemoryShortageError
from lipsync_core.machine import usable_cores

_STATUS = Path("/proc/self/status")
#: In the messages of libraries that have no error of their own for it: C++ (ONNX Runtime, LiteRT), OpenCV, the loader
#: of shared objects, and Python where no further thread starts.
_SAYINGS = re.compile(
    r"bad_alloc|bad allocation|insufficient memory|failed to allocate memory|cannot allocate memory"
    r"|failed to map segment|can't start new thread|out of memory",
    re.IGNORECASE,
)
_OF_A_GPU = re.compile(r"\bcuda|cudnn|cublas|\bgpu\b", re.IGNORECASE)
_VAGUE = (RuntimeError, SystemError, ImportError)
_VAGUE_MODULES = ("av", "cv2", "onnxruntime")
#: A process whose address space came closer to its limit than this was refused memory: encoders and decoders ask for
#: so much at once. x264 reports only that it failed, and FFmpeg's decoders that the data are invalid.
_NEAR_BYTES = 64 << 20
#: Of address space: what NumPy, OpenCV, FFmpeg and LiteRT take before a job begins, and their threads for each core.
#: The smallest job on two cores reaches 760 MB.
_LIBRARIES_BYTES, _CORE_BYTES = 600 << 20, 60 << 20


def require_room_for_libraries() -> None:
    """Make sure that this process may take the memory that libraries need; call it before they are imported.

    Where they are refused memory meanwhile, OpenCV crashes, and OpenBLAS interrupts or ends the process.

    Raises:
        MemoryShortageError: its limit is too low for any job.
    """
    require_room(_LIBRARIES_BYTES + _CORE_BYTES * usable_cores())


def is_limited() -> bool:
    """Whether this process may be refused memory by a limit of its own."""
    return _limit_bytes() is not None


def require_room(needed_bytes: int) -> None:
    """Make sure that this process may take so much more memory, for a library that crashes or hangs where it may not.

    Raises:
        MemoryShortageError: its limit is too low.
    """
    limit = _limit_bytes()
    if limit is not None and limit - _address_space("VmSize") < needed_bytes:
        raise _shortage(limit)


@contextmanager
def memory_shortage_told() -> Iterator[None]:
    """Raise MemoryShortageError where the block ends because memory ran out, whatever library noticed it."""
    try:
        yield
    except Exception as exc:
        shortage = shortage_behind(exc)
        if shortage is None:
            raise
        raise shortage from exc


def shortage_behind(exc: BaseException) -> MemoryShortageError | None:
    """The error to report where a shortage of memory is behind `exc` (or is `exc`), else None."""
    if isinstance(exc, MemoryShortageError):
        return exc
    limit = _limit_bytes()
    was_near = limit is not None and _address_space("VmPeak") > limit - _NEAR_BYTES
    if not any(_says_so(each) or (was_near and _is_vague(each)) for each in _chain(exc)):
        return None
    return _shortage(limit)


def require_no_shortage(exc: BaseException) -> None:
    """Make sure that `exc` is what it says: a decoder that is refused memory calls the data invalid, too.

    Raises:
        MemoryShortageError: a shortage of memory is behind it.
    """
    shortage = shortage_behind(exc)
    if shortage is not None:
        raise shortage from exc


def _shortage(limit: int | None) -> MemoryShortageError:
    limited = "" if limit is None else f" within this process's limit of {limit >> 20} MiB"
    return MemoryShortageError(
        f"memory ran out{limited}",
        "give it more (ulimit -v, or the limit of its container), or use a smaller picture or --max-size",
    )


def _chain(exc: BaseException) -> Iterator[BaseException]:
    """`exc`, and the errors that led to it."""
    seen: set[int] = set()
    following: BaseException | None = exc
    while following is not None and id(following) not in seen:
        seen.add(id(following))
        yield following
        following = following.__cause__ or (None if following.__suppress_context__ else following.__context__)


def _says_so(exc: BaseException) -> bool:
    if isinstance(exc, MemoryError):  # of Python, NumPy, Pillow and FFmpeg
        return True
    if isinstance(exc, OSError):  # its text names files
        return exc.errno == errno.ENOMEM
    return _is_of_a_library(exc) and bool(_SAYINGS.search(str(exc))) and not _OF_A_GPU.search(str(exc))


def _is_vague(exc: BaseException) -> bool:
    """Whether a library that was refused memory may have failed in this way."""
    return _is_of_a_library(exc) and not _OF_A_GPU.search(str(exc))


def _is_of_a_library(exc: BaseException) -> bool:
    return isinstance(exc, _VAGUE) or type(exc).__module__.partition(".")[0] in _VAGUE_MODULES


def _limit_bytes() -> int | None:
    """The most address space that this process may take; None without a limit."""
    limit, _ = resource.getrlimit(resource.RLIMIT_AS)
    return None if limit == resource.RLIM_INFINITY else limit


def _address_space(field: str) -> int:
    """Bytes of address space that this process has (VmSize), or has had at most (VmPeak); 0 where nothing tells."""
    try:
        found = re.search(rf"{field}:\s+(\d+) kB", _STATUS.read_text())
    except OSError:
        return 0
    return int(found.group(1)) * 1024 if found else 0
