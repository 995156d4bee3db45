"""Mutates small media of every allowed container, and has the product read each mutant in a guarded child.

`python -m tests.hostile.fuzzing --cases 3000 --state FILE` goes on where FILE says that an earlier run has stopped
(`make fuzz`). Mutant number N of a seed is the same file wherever it is made.
"""

from __future__ import annotations

import argparse
import io
import json
import logging
import random
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Sequence
from itertools import islice
from pathlib import Path

import av

from lipsync_core.audio.load import SpeechReader
from lipsync_core.clock import StageClock
from lipsync_core.errors import InputMissingError, LipSyncError
from lipsync_core.limits import Limits, limited
from lipsync_core.media.decode import decode_frames, decode_in_order
from lipsync_core.media.probe import probe, require_audio
from lipsync_core.media.sound import AudioCut
from lipsync_core.media.soundtrack import add_soundtrack, check_soundtrack
from lipsync_core.source_video import SourceVideo
from tests.hostile import seeds
from tests.hostile.guard import Guard, Outcome

MOST_FRAMES = 60
LIMITS = Limits(max_duration_s=120, max_pixels=4_000_000, max_frames=20_000)
MORE_MEMORY = 600 << 20  # bytes that no mutant may take
_NUMBERS = (0, 1, 0x7F, 0x80, 0xFF, 0x7FFF, 0xFFFF, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF)


def read_all(name: str) -> int:
    """Everything that the product does with a file of a stranger; 0, or 3 where it refuses the file."""
    logging.disable()  # of damaged pictures, which are no fault
    path, status = Path(name), 0
    with limited(LIMITS):
        for part in (probe, _starts, _see, _hear, _deliver):
            try:
                part(path)
            except LipSyncError as error:
                sys.stdout.write(f"{error.code} {error}\n")
                status = error.exit_status
                if error.code == "INTERNAL":
                    return status
    return status


def _starts(path: Path) -> None:
    SourceVideo.probed(path)


def _see(path: Path) -> None:
    video = SourceVideo.probed(path)
    decoded = decode_frames(path, StageClock(), reading=video.reading)
    pts = [frame.pts for frame in islice(decoded, MOST_FRAMES)]
    order = [*range(len(pts) - 1, -1, -1), *range(0, len(pts), 3)]
    for _ in decode_in_order(path, order[:MOST_FRAMES], StageClock(), frame_pts=pts, reading=video.reading):
        pass


def _hear(path: Path) -> None:
    require_audio(path)
    for _ in SpeechReader(path, StageClock()):
        pass


def _deliver(path: Path) -> None:
    cut = AudioCut(path)
    try:
        check_soundtrack(cut, ".mp4", "copy")
    except LipSyncError as error:
        if error.code == "INTERNAL":
            raise
    with av.open(io.BytesIO(), "w", format="mp4") as container:
        for packet in add_soundtrack(container, cut).packets:
            container.mux(packet)


def mutant(data: bytes, random_numbers: random.Random) -> bytes:
    """`data` with a few of its bytes changed, moved, doubled, left out or cut off."""
    changed = bytearray(data)
    for _ in range(random_numbers.choice((1, 1, 2, 4, 8, 24))):
        if not changed:
            break
        random_numbers.choice(_CHANGES)(changed, random_numbers)
    return bytes(changed)


def _place(data: bytearray, numbers: random.Random) -> int:
    """Half of the changes are in the first 512 bytes, where most headers are."""
    return numbers.randrange(min(len(data), 512) if numbers.random() < 0.5 else len(data))


def _flip(data: bytearray, numbers: random.Random) -> None:
    data[_place(data, numbers)] ^= 1 << numbers.randrange(8)


def _byte(data: bytearray, numbers: random.Random) -> None:
    data[_place(data, numbers)] = numbers.randrange(256)


def _number(data: bytearray, numbers: random.Random) -> None:
    size, order = numbers.choice((1, 2, 4)), numbers.choice(("big", "little"))
    at = _place(data, numbers)
    value = numbers.choice(_NUMBERS) & (1 << 8 * size) - 1
    data[at : at + size] = value.to_bytes(size, order)[: len(data) - at]  # type: ignore[arg-type]


def _cut(data: bytearray, numbers: random.Random) -> None:
    del data[_place(data, numbers) :]


def _leave_out(data: bytearray, numbers: random.Random) -> None:
    at = _place(data, numbers)
    del data[at : at + numbers.randrange(1, 64)]


def _double(data: bytearray, numbers: random.Random) -> None:
    at, to = _place(data, numbers), _place(data, numbers)
    data[to:to] = data[at : at + numbers.randrange(1, 256)]


def _overwrite(data: bytearray, numbers: random.Random) -> None:
    at, to, size = _place(data, numbers), _place(data, numbers), numbers.randrange(1, 64)
    data[to : to + size] = data[at : at + size]


_CHANGES: Sequence[Callable[[bytearray, random.Random], None]] = (
    _flip, _byte, _number, _number, _cut, _leave_out, _double, _overwrite,
)  # fmt: skip


def fault(outcome: Outcome, folder: Path, left: Sequence[str]) -> str:
    """What a mutant did that none may do; empty where all is well."""
    if outcome.status < 0 or outcome.status not in (0, 2, 3, 5):
        return f"ended with {outcome.status}: {outcome.err.strip().splitlines()[-1:]}"
    if outcome.err.strip():
        return f"wrote to standard error: {outcome.err.strip()[:200]}"
    if outcome.out.startswith(InputMissingError.code):
        return "was not found"  # then nothing was tried
    if outcome.peak_bytes > MORE_MEMORY:
        return f"took {outcome.peak_bytes >> 20} MiB"
    found = sorted(each.name for each in folder.iterdir())
    return "" if found == sorted(left) else f"left {found}"


def fuzz(folder: Path, seed: int, first: int, cases: int, say: Callable[[int, str], None]) -> list[str]:
    """Try mutants `first` to `first + cases` of `seed`; the faults. Mutants with a fault stay in `folder`."""
    folder = folder.resolve()  # children work in another one
    media = seeds.make(folder / "seeds")
    work = folder / "work"
    work.mkdir(exist_ok=True)
    faults = []
    with Guard() as guard:
        for number in range(first, first + cases):
            numbers = random.Random(f"{seed}/{number}")
            source = media[number % len(media)]
            path = work / f"mutant{source.suffix}"
            path.write_bytes(mutant(source.read_bytes(), numbers))
            outcome = guard.run([str(path)], work, "tests.hostile.fuzzing:read_all", TMPDIR=str(work))
            found = fault(outcome, work, [path.name])
            if found:
                faults.append(f"mutant {number} of seed {seed} ({source.name}): {found}")
                path.rename(folder / f"fault-{seed}-{number}{source.suffix}")
            for each in work.iterdir():
                each.unlink()
            say(number, found or outcome.out.partition(" ")[0])
    return faults


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cases", type=int, default=3000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--first", type=int, default=0, help="the number of the first mutant")
    parser.add_argument("--state", type=Path, help="where the next mutant and the faults so far are kept")
    parser.add_argument("--folder", type=Path, help="where mutants with a fault stay")
    chosen = parser.parse_args()
    state = {"seed": chosen.seed, "next": chosen.first, "faults": []}
    if chosen.state and chosen.state.exists():
        state = json.loads(chosen.state.read_text())
    codes: Counter[str] = Counter()

    def say(number: int, found: str) -> None:
        codes[found.split(":")[0] or "read"] += 1
        if number % 100 == 99:
            sys.stdout.write(f"{number + 1} mutants: {dict(codes.most_common(8))}\n")
            sys.stdout.flush()

    folder = chosen.folder or Path(tempfile.mkdtemp(prefix="lipsync-fuzz-"))
    while state["next"] < chosen.cases:
        first = state["next"]
        count = min(100, chosen.cases - first)
        state["faults"] += fuzz(folder, state["seed"], first, count, say)
        state["next"] = first + count
        if chosen.state:
            chosen.state.write_text(json.dumps(state, indent=1))
    found = "\n".join(state["faults"]) or f"{chosen.cases} mutants of seed {state['seed']}: no fault"
    sys.stdout.write(f"{found}\n")
    return bool(state["faults"])


if __name__ == "__main__":
    sys.exit(main())
