import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from lipsync_core.models.lock import locked

ROOT = Path(__file__).parents[2]


def test_one_holds_the_lock_at_a_time_and_nothing_is_left(tmp_path: Path) -> None:
    inside, most = 0, 0
    guard, somebody_waits = threading.Lock(), threading.Event()

    def work(_: int) -> None:
        nonlocal inside, most
        with locked(tmp_path / "a.lock", somebody_waits.set):
            with guard:
                inside += 1
                most = max(most, inside)
            assert somebody_waits.wait(60)
            with guard:
                inside -= 1

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(work, range(64)))
    assert most == 1
    assert list(tmp_path.iterdir()) == []


def test_the_lock_of_a_killed_process_is_free(tmp_path: Path) -> None:
    code = (
        "import sys, time; from pathlib import Path; from lipsync_core.models.lock import locked\n"
        "with locked(Path(sys.argv[1]), lambda: None):\n"
        "    print('held', flush=True)\n"
        "    time.sleep(60)\n"
    )
    command = [sys.executable, "-c", code, str(tmp_path / "a.lock")]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout is not None and child.stdout.readline() == "held\n"
        child.kill()
    assert (tmp_path / "a.lock").exists()
    with locked(tmp_path / "a.lock", lambda: pytest.fail("it waits for the dead")):
        pass
    assert list(tmp_path.iterdir()) == []


def test_locked_fails_when_the_folder_is_absent(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError), locked(tmp_path / "absent" / "a.lock", lambda: None):
        pass
