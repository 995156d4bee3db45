"""The peak of this process's memory, without that of its parent."""

import json
import subprocess
import sys
from pathlib import Path

from lipsync_core.memory import peak_resident_bytes
from lipsync_core.models.store import ModelStore
from tests.conftest import Ffmpeg


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


def test_freed_blocks_go_back_to_the_system() -> None:
    code = """
import numpy as np
from lipsync_core.memory import give_memory_back
give_memory_back()
def resident():
    return int(open("/proc/self/statm").read().split()[1]) * 4096
block = np.ones(12 * 2**20, np.uint8)
del block  # by default, the first release teaches the allocator to keep such blocks
before = resident()
blocks, between = [], []
for _ in range(30):
    blocks.append(np.ones(12 * 2**20, np.uint8))
    between.append(np.ones(40_000, np.uint8))  # stays, so that the heap cannot shrink below it
del blocks
print(resident() - before)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert int(done.stdout) < 8 * 2**20


def test_what_another_thread_has_freed_goes_back_to_the_system_on_demand() -> None:
    code = """
import threading
import numpy as np
from lipsync_core.memory import give_free_memory_back, give_memory_back
give_memory_back()
def resident():
    return int(open("/proc/self/statm").read().split()[1]) * 4096
before, kept = resident(), []
def work():
    blocks = [np.ones(40_000, np.uint8) for _ in range(1000)]
    kept.append(blocks[-1])  # the end of the thread's memory stays in use
thread = threading.Thread(target=work)
thread.start()
thread.join()
held = resident() - before
give_free_memory_back()
print(held, resident() - before)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    held, left = map(int, done.stdout.split())
    assert held > 32 * 2**20 and left < 8 * 2**20


def test_a_photo_of_12_megapixels_speaks_in_little_memory(
    face_clip: Path, speech_wav: Path, model_store: ModelStore, ffmpeg: Ffmpeg, tmp_path: Path
) -> None:
    """It took 850 MB: x264 alone held 620."""
    photo = tmp_path / "photo.jpg"
    large = ("-vf", "scale=4000:3000,noise=alls=6", "-pix_fmt", "yuvj420p", "-q:v", "3")
    ffmpeg("-i", face_clip, "-frames:v", "1", *large, photo)
    code = "import sys; from lipsync_cli.main import main; sys.exit(main())"
    job = ("run", photo, speech_wav, "-o", tmp_path / "out.mp4", "--end", "1", "--json", "--threads", "2")
    command = [sys.executable, "-c", code, *map(str, job)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    report = json.loads(done.stdout)
    assert report["peak_rss_bytes"] < 540 * 2**20
    assert report["output"]["changes"][-1].startswith("scaled from 4000x3000 to 35")
