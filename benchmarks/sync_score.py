"""Measures the sync score: offsets of real speech, other people's speech, and faults that the gate should catch.

    python benchmarks/sync_score.py speech MOUTHS     # a folder of measured mouths with their sound (docs/score.md)
    python benchmarks/sync_score.py faults CLIPS MOUTHS --set chosen|tested|confirmed
    python benchmarks/sync_score.py cost CLIPS

Each is a module of its own: score_speech.py, score_faults.py and score_cost.py.
"""

import argparse
from pathlib import Path

from score_cost import measure_cost
from score_faults import SETS, measure_faults
from score_speech import Ears, measure_foreign, measure_shifts, read_mouths

from lipsync_core.threads import no_thread_pools


def main() -> None:
    """Measure, and print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("speech", "faults", "cost"))
    parser.add_argument("folders", nargs="+", type=Path)
    parser.add_argument("--set", choices=tuple(SETS), default="tested", dest="chosen")
    options = parser.parse_args()
    with no_thread_pools():
        if options.what == "speech":
            people, ears = read_mouths(options.folders[0]), Ears()
            measure_shifts(people, ears)
            measure_foreign(people, ears)
        elif options.what == "faults":
            measure_faults(*options.folders, options.chosen)
        else:
            measure_cost(options.folders[0])


if __name__ == "__main__":
    main()
