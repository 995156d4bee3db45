"""A filter of system calls (seccomp) for a process that only reads files and computes.

It refuses what such a process never does: programs, other processes, the network, changes to files. A refused call
fails as one without permission. Sources: seccomp(2), linux/filter.h, linux/audit.h and the kernel's tables of calls.
"""

import ctypes
import os
import platform
import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import chain

_PR_SET_NO_NEW_PRIVS, _PR_SET_SECCOMP, _MODE_FILTER = 38, 22, 2
_ALLOW, _KILL_PROCESS = 0x7FFF0000, 0x80000000
_NO_PERMISSION, _NO_SUCH_CALL = 0x00050001, 0x00050026  # SECCOMP_RET_ERRNO with EPERM and ENOSYS
#: struct seccomp_data: the number of the call, the architecture, and the low halves of the arguments.
_NUMBER_AT, _ARCHITECTURE_AT, _ARGUMENTS_AT, _ARGUMENT_BYTES = 0, 4, 16, 8
#: Instructions: load a word, compare the loaded word, and return.
_LOAD, _IS, _IS_AT_LEAST, _HAS_BITS, _RETURN = 0x20, 0x15, 0x35, 0x45, 0x06
_CLONE_THREAD = 0x10000
#: ioctl(2): types into the terminal; has the kernel signal another process (FIOSETOWN, SIOCSPGRP).
_REFUSED_IOCTLS = (0x5412, 0x8901, 0x8902)
#: fcntl(2): which process the kernel signals, and how (F_SETOWN, F_SETSIG, F_SETOWN_EX).
_REFUSED_FCNTLS = (8, 10, 15)
_PR_SET_PDEATHSIG = 1  # the end of the desk ends its readers
_WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC
#: Calls since Linux 5.1 have one number everywhere. Those that a library may try are answered as by an older kernel,
#: so that the library takes the older call, which is looked at.
_FIRST_OF_NEW = 424
_ALLOWED_NEW = (436, 439)  # close_range, faccessat2
#: Each refused call with its number on x86-64 and on arm64.
_REFUSED = """
shmget 29 194, shmat 30 196, socket 41 198, connect 42 203, accept 43 202, bind 49 200, listen 50 201,
socketpair 53 199, fork 57 -, vfork 58 -, execve 59 221, kill 62 129, semget 64 190, msgget 68 186,
truncate 76 45, rename 82 -, mkdir 83 -, rmdir 84 -, creat 85 -, link 86 -, unlink 87 -, symlink 88 -,
chmod 90 -, fchmod 91 52, chown 92 -, fchown 93 55, lchown 94 -, ptrace 101 117, rt_sigqueueinfo 129 138,
utime 132 -, mknod 133 -, pivot_root 155 41, chroot 161 51, acct 163 89, mount 165 40, umount2 166 39,
swapon 167 224, swapoff 168 225, reboot 169 142, init_module 175 105, delete_module 176 106, quotactl 179 60,
setxattr 188 5, lsetxattr 189 6, fsetxattr 190 7, removexattr 197 14, lremovexattr 198 15, fremovexattr 199 16,
tkill 200 130, utimes 235 -, mq_open 240 180, kexec_load 246 104, add_key 248 217, request_key 249 218,
keyctl 250 219, mkdirat 258 34, mknodat 259 33, fchownat 260 54, futimesat 261 -, unlinkat 263 35,
renameat 264 38, linkat 265 37, symlinkat 266 36, fchmodat 268 53, unshare 272 97, utimensat 280 88,
accept4 288 242, rt_tgsigqueueinfo 297 240, perf_event_open 298 241, name_to_handle_at 303 264,
open_by_handle_at 304 265, setns 308 268, process_vm_readv 310 270, process_vm_writev 311 271,
finit_module 313 273, renameat2 316 276, kexec_file_load 320 294, bpf 321 280, execveat 322 281,
userfaultfd 323 282, setpriority 141 140, sched_setparam 142 118, sched_setscheduler 144 119,
sched_setaffinity 203 122, sched_setattr 314 274, ioprio_set 251 30, migrate_pages 256 238, move_pages 279 239,
setpgid 109 154, setsid 112 157, kcmp 312 272, mq_notify 244 184
"""


@dataclass(frozen=True, slots=True)
class _Architecture:
    audit: int  # AUDIT_ARCH_*
    column: int  # of `_REFUSED`
    clone: int
    tgkill: int
    prlimit64: int
    ioctl: int
    fcntl: int
    prctl: int
    openings: Mapping[int, int]  # a call that opens a file -> which of its arguments has the flags
    foreign: int  # numbers from here on belong to another interface


_ARCHITECTURES: Mapping[str, _Architecture] = {
    "x86_64": _Architecture(0xC000003E, 1, 56, 234, 302, 16, 72, 157, {2: 1, 257: 2}, 0x40000000),
    "aarch64": _Architecture(0xC00000B7, 2, 220, 131, 261, 29, 25, 167, {56: 2}, 0x40000000),
}


def filter_system_calls() -> bool:
    """Have the kernel refuse these calls to this process and its threads from now on; False where it cannot.

    Call it while the process has one thread. There is no way back.
    """
    architecture = _ARCHITECTURES.get(platform.machine())
    if architecture is None:
        return False
    program = b"".join(_program(architecture, os.getpid()))
    instructions = ctypes.create_string_buffer(program, len(program))
    described = struct.pack("HxxxxxxP", len(program) // 8, ctypes.addressof(instructions))
    prctl = ctypes.CDLL(None).prctl
    if prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0):
        return False
    return not prctl(_PR_SET_SECCOMP, _MODE_FILTER, ctypes.create_string_buffer(described), 0, 0)


def _program(architecture: _Architecture, process: int) -> Iterator[bytes]:
    yield _load(_ARCHITECTURE_AT)
    yield from _unless(_IS, architecture.audit, _KILL_PROCESS)
    yield _load(_NUMBER_AT)
    yield from _where(_IS_AT_LEAST, architecture.foreign, _NO_PERMISSION)
    for number in _refused(architecture):
        yield from _where(_IS, number, _NO_PERMISSION)
    for number in _ALLOWED_NEW:
        yield from _where(_IS, number, _ALLOW)
    yield from _where(_IS_AT_LEAST, _FIRST_OF_NEW, _NO_SUCH_CALL)
    for number, argument in architecture.openings.items():
        yield from _argument(number, argument, _where(_HAS_BITS, _WRITING, _NO_PERMISSION))
    for number, refused in ((architecture.ioctl, _REFUSED_IOCTLS), (architecture.fcntl, _REFUSED_FCNTLS)):
        yield from _argument(number, 1, chain.from_iterable(_where(_IS, each, _NO_PERMISSION) for each in refused))
    yield from _argument(architecture.prctl, 0, _where(_IS, _PR_SET_PDEATHSIG, _NO_PERMISSION))
    yield from _argument(architecture.clone, 0, _unless(_HAS_BITS, _CLONE_THREAD, _NO_PERMISSION))
    yield from _argument(architecture.tgkill, 0, _unless(_IS, process, _NO_PERMISSION))
    yield from _argument(architecture.prlimit64, 0, _unless(_IS, 0, _NO_PERMISSION))
    yield _return(_ALLOW)


def _refused(architecture: _Architecture) -> Iterator[int]:
    for row in _REFUSED.split(","):
        number = row.split()[architecture.column]
        if number != "-":
            yield int(number)


def _argument(number: int, argument: int, checks: Iterator[bytes]) -> Iterator[bytes]:
    """For the call `number` alone: `checks` on one of its arguments, else it is allowed."""
    body = [_load(_ARGUMENTS_AT + argument * _ARGUMENT_BYTES), *checks, _return(_ALLOW)]
    yield struct.pack("HBBI", _IS, 0, len(body), number)
    yield from body


def _where(comparison: int, value: int, answer: int) -> Iterator[bytes]:
    yield struct.pack("HBBI", comparison, 0, 1, value)
    yield _return(answer)


def _unless(comparison: int, value: int, answer: int) -> Iterator[bytes]:
    yield struct.pack("HBBI", comparison, 1, 0, value)
    yield _return(answer)


def _load(at: int) -> bytes:
    return struct.pack("HBBI", _LOAD, 0, 0, at)


def _return(answer: int) -> bytes:
    return struct.pack("HBBI", _RETURN, 0, 0, answer)
