"""Kills one to three random parts of a working service at a time with `kill -9`, and counts the lost jobs.

It starts a service of its own below a temporary folder and stops it at the end. After every round it starts the killed
parts again, as systemd or Kubernetes would. All jobs make the same movie under different names, so their results can
be compared. A job that did not complete is printed with its states and the errors of its log, and the exit status is 1.

    python benchmarks/killing.py [--seed 1] [--jobs 12] [--rounds 5] [--gpu-pool]
"""

import argparse
import random
import sys
import time
from collections import Counter
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.service_of_its_own import account, contents, finished, started, submitted

_PARTS = ("run", "worker-lipsync-cpu", "worker-lipsync-gpu", "launcher", "prefect-server", "watcher", "postgres", "s3")
_MAX_KILLED = 3  # at a time
_BETWEEN_S = (3.0, 8.0)
_LIMIT_S = 600.0


def main() -> int:
    """Print the killed parts, and the outcomes of the jobs."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--jobs", type=int, default=12)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--first-port", type=int, default=14_200)
    parser.add_argument("--gpu-pool", action="store_true", help="track and infer in runs of their own")
    arguments = parser.parse_args()
    chance, numbers = random.Random(arguments.seed), range(arguments.jobs)
    with started(arguments.first_port, has_gpu_pool=arguments.gpu_pool) as service:
        settings = service.settings()
        began_s = time.monotonic()
        jobs = submitted(settings, numbers)
        for _ in range(arguments.rounds):
            time.sleep(chance.uniform(*_BETWEEN_S))
            parts = chance.sample(_PARTS, chance.randint(1, _MAX_KILLED))
            print(f"{time.monotonic() - began_s:6.1f} s  killed:", *(part for part in parts if service.kill(part)))
            service.run("up")
        runs = finished(settings, jobs, _LIMIT_S)
        print(f"{time.monotonic() - began_s:6.1f} s  {arguments.jobs} jobs have ended:", end=" ")
        print(*(f"{count} {state}" for state, count in Counter(run.state.type for run in runs).items()), sep=", ")
        print("attempts:", dict(Counter(run.attempt for run in runs)))
        print("results by content:", dict(contents(settings, numbers)))
        lost = [run for run in runs if run.state.type != "COMPLETED"]
        for run in lost:
            print(account(settings, run))
    return int(bool(lost))


if __name__ == "__main__":
    sys.exit(main())
