"""Measures the sync score: offsets of real speech, other people's speech, and faults that gate and report should catch.

    python benchmarks/sync_score.py speech MOUTHS     # a folder of measured mouths with their sound (docs/score.md)
    python benchmarks/sync_score.py faults CLIPS MOUTHS --set chosen|tested|confirmed
    python benchmarks/sync_score.py pictures CLIPS MOUTHS --set chosen|tested|microphone
    python benchmarks/sync_score.py cost CLIPS

Each is a module of its own: score_speech.py, score_faults.py, score_pictures.py and score_cost.py.
"""

import argparse
from pathlib import Path

from score_cost import measure_cost
from score_faults import SETS, measure_faults
from score_pictures import PICTURE_SETS, measure_pictures
from score_speech import Ears, measure_foreign, measure_shifts, read_mouths

from lipsync_core.threads import no_thread_pools


def main() -> None:
    """Measure, and print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("speech", "faults", "pictures", "cost"))
    parser.add_argument("folders", nargs="+", type=Path)
    parser.add_argument("--set", choices=tuple({**SETS, **PICTURE_SETS}), default="tested", dest="chosen")
    options = parser.parse_args()
    with no_thread_pools():
        if options.what == "speech":
            people, ears = read_mouths(options.folders[0]), Ears()
            measure_shifts(people, ears)
            measure_foreign(people, ears)
        elif options.what == "faults":
            measure_faults(*options.folders, options.chosen)
        elif options.what == "pictures":
            measure_pictures(*options.folders, options.chosen)
        else:
            measure_cost(options.folders[0])


if __name__ == "__main__":
    main()
