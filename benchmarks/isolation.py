"""Compares what a job costs with its readers apart with the same job that reads its files itself.

The jobs alternate, and each round gives its own ratios. CPU-seconds are those of all processes: this one adopts readers
that outlive the command. Memory is what all of them hold in proportion (PSS), looked at again and again.

    python benchmarks/isolation.py [--rounds 7] [--before CHECKOUT] [--clip VIDEO --speech AUDIO]
"""

import argparse
import ctypes
import os
import re
import statistics
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path

_ROOT = Path(__file__).resolve().parents[1]
_PR_SET_CHILD_SUBREAPER = 36
_LOOK_S = 0.05
_RUN = "from lipsync_cli.main import main; sys.exit(main())"
_HERE = "import lipsync_core.isolation.room as room; room.is_possible = lambda: False"


def main() -> None:
    """Run the jobs and print the ratios."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--before", type=Path, help="a checkout without readers")
    parser.add_argument("--clip", type=Path, default=_ROOT / "demo" / "face.mp4")
    parser.add_argument("--speech", type=Path, default=_ROOT / "demo" / "speech.wav")
    given = parser.parse_args()
    ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    base = "nothing apart"
    kinds: dict[str, list[str]] = {base: _command(_ROOT, _HERE), "probes apart": _command(_ROOT)}
    kinds["all apart"] = [*_command(_ROOT), "--isolate"]
    if given.before is not None:
        base = "before"
        kinds = {base: _command(given.before.resolve()), **kinds}
    with tempfile.TemporaryDirectory() as folder:
        files = ["run", str(given.clip), str(given.speech), "-o", str(Path(folder, "out.mp4"))]
        commands = {name: [*words[:3], *files, *words[3:]] for name, words in kinds.items()}
        rounds = list(_rounds(commands, given.rounds))
    for name in kinds:
        ratio = statistics.median(each[name][0] / each[base][0] for each in rounds)
        cpu_s = statistics.median(each[name][0] for each in rounds)
        held = statistics.median(each[name][1] for each in rounds)
        print(f"{name:<14} {cpu_s:6.2f} CPU s, {ratio:.3f} of '{base}', {held / 1e6:4.0f} MB at the peak")


def _command(root: Path, first: str = "") -> list[str]:
    lines = ("import sys", f"sys.path.insert(0, {str(root)!r})", first, _RUN)
    return [sys.executable, "-c", "\n".join(lines)]


def _rounds(commands: Mapping[str, list[str]], count: int) -> Iterator[dict[str, tuple[float, int]]]:
    """CPU seconds and bytes of each command; a first round is not counted."""
    for number in range(count + 1):
        names = list(commands) if number % 2 else list(reversed(commands))
        measured = {name: _measured(commands[name]) for name in names}
        if number:
            yield measured


def _measured(command: list[str]) -> tuple[float, int]:
    """CPU seconds of the command and of all that it started, and the most memory that they held."""
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    ended = threading.Event()
    peaks: list[int] = []
    watcher = threading.Thread(target=_watch, args=(process.pid, ended, peaks))
    watcher.start()
    cpu_s, status = 0.0, 0
    while True:
        try:
            pid, how, usage = os.wait4(-1, 0)
        except ChildProcessError:
            break
        cpu_s += usage.ru_utime + usage.ru_stime
        status = how if pid == process.pid else status
    ended.set()
    watcher.join()
    process.returncode = os.waitstatus_to_exitcode(status)
    with process:
        said = process.stderr.read().decode() if process.stderr else ""
    if process.returncode:
        raise RuntimeError(f"a job ended with status {process.returncode}: {said[-500:]}")
    return cpu_s, max(peaks, default=0)


def _watch(process: int, ended: threading.Event, peaks: list[int]) -> None:
    while not ended.wait(_LOOK_S):
        peaks.append(sum(map(_pss_bytes, (process, *_below(process)))))


def _below(process: int) -> Iterator[int]:
    try:
        threads = list(Path(f"/proc/{process}/task").iterdir())
        children = [int(each) for thread in threads for each in (thread / "children").read_text().split()]
    except OSError:
        return
    for child in children:
        yield child
        yield from _below(child)


def _pss_bytes(process: int) -> int:
    try:
        found = re.search(r"^Pss:\s+(\d+) kB", Path(f"/proc/{process}/smaps_rollup").read_text(), re.MULTILINE)
    except OSError:
        return 0
    return int(found[1]) * 1024 if found else 0


if __name__ == "__main__":
    main()
