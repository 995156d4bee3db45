"""Confines a process to files that it may read (Landlock).

Sources: landlock(7) and linux/landlock.h.
"""

import ctypes
import os
import struct
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path

_CREATE_RULESET, _ADD_RULE, _RESTRICT_SELF = 444, 445, 446  # system calls, the same numbers everywhere
_ASK_FOR_VERSION = 1
_PATH_BENEATH = 1
_READ_FILE, _READ_DIR = 1 << 2, 1 << 3
#: How many rights over files and over the network each version of Landlock knows.
_FILE_RIGHTS = {1: 13, 2: 14, 3: 15, 4: 15, 5: 16}
_NETWORK_RIGHTS = {4: 2}
_PR_SET_NO_NEW_PRIVS = 38


def confine_to(files: Iterable[Path], folders: Iterable[Path]) -> bool:
    """Let this process open nothing but `files` and what lies below `folders`, to read; False where Linux cannot.

    There is no way back. Open descriptors stay as they are.
    """
    libc = ctypes.CDLL(None, use_errno=True)
    version = libc.syscall(_CREATE_RULESET, None, ctypes.c_size_t(0), _ASK_FOR_VERSION)
    if version < 1:
        return False
    rules = _ruleset(libc, version)
    if rules < 0:
        return False
    try:
        for path, rights in _rights(files, folders):
            _add(libc, rules, path, rights)
        no_more = libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
        return not no_more and not libc.syscall(_RESTRICT_SELF, rules, 0)
    finally:
        os.close(rules)


def _ruleset(libc: ctypes.CDLL, version: int) -> int:
    rights = (1 << _FILE_RIGHTS.get(version, max(_FILE_RIGHTS.values()))) - 1
    network = (1 << _NETWORK_RIGHTS[4]) - 1 if version >= 4 else 0
    handled = struct.pack("QQ", rights, network) if version >= 4 else struct.pack("Q", rights)
    return int(libc.syscall(_CREATE_RULESET, ctypes.create_string_buffer(handled), ctypes.c_size_t(len(handled)), 0))


def _rights(files: Iterable[Path], folders: Iterable[Path]) -> Iterator[tuple[Path, int]]:
    for path in files:  # what turns out to be a folder may be opened, which tells that it is one, and nothing in it
        yield path, _READ_DIR if path.is_dir() else _READ_FILE
    for path in folders:
        yield path, _READ_FILE | _READ_DIR


def _add(libc: ctypes.CDLL, rules: int, path: Path, rights: int) -> None:
    with suppress(OSError):  # a file that is not there: opening it says so
        descriptor = os.open(path, os.O_PATH | os.O_CLOEXEC)
        try:
            rule = struct.pack("=Qi", rights, descriptor)
            libc.syscall(_ADD_RULE, rules, _PATH_BENEATH, ctypes.create_string_buffer(rule), 0)
        finally:
            os.close(descriptor)
