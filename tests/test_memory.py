"""The peak of this program's memory, and not of the one that started it."""

import subprocess
import sys

from lipsync_core.memory import peak_resident_bytes


def test_memory_that_was_given_back_still_counts() -> None:
    before = peak_resident_bytes()
    block = bytearray(64 * 2**20)
    block[::4096] = b"x" * len(block[::4096])
    del block
    assert peak_resident_bytes() >= max(before, 64 * 2**20)


def test_a_small_program_under_a_large_one_reports_its_own_memory() -> None:
    ballast = bytearray(200 * 2**20)
    ballast[::4096] = b"x" * len(ballast[::4096])
    code = "from lipsync_core.memory import peak_resident_bytes; print(peak_resident_bytes())"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert int(done.stdout) < 100 * 2**20 < len(ballast)
