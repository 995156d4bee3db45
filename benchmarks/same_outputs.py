"""Checks that two versions of the product make the same outputs, by a fixed set of jobs on a checkout of each.

`measure` calls only a checkout's own `lipsync` and `make up`, so that any two versions are measured alike. It writes
one file: hashes of each job's pictures and sound, streams, tags, reports, messages, exit statuses, help texts, the
forms of the deployments, and the memory of the processes. The checkout needs `make torch`. Run it with the Python of a
virtual environment that `make test` made, from any folder:

    python benchmarks/same_outputs.py measure RESULT.json --checkout DIR --work DIR
    python benchmarks/same_outputs.py compare BEFORE.json AFTER.json [--except 'help/*']

`compare` writes one line for each difference and ends with status 1 if there is one. Memory differs from run to run, so
it is shown side by side and is no difference.
"""

import argparse
import json
import sys
from collections.abc import Iterator
from dataclasses import asdict
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

import platformdirs
from outputs_checkout import Checkout
from outputs_digest import sha256_of
from outputs_jobs import LOCAL_JOBS, Inputs, help_texts, probed, run_local
from outputs_service import SERVICE_JOBS, started

sys.path.append(str(Path(__file__).resolve().parents[1]))
from tests import shared_files

_OWN_MODELS = platformdirs.user_data_path("lipsync", appauthor=False) / "models"
_FIRST_PORT = 14_200
_PACKAGES = ("av", "numpy", "opencv-python-headless", "onnxruntime", "prefect")
#: Parts of a result that are shown and not compared.
_TOLD = ("measured", "memory")
Json = dict[str, Any]


def measure(given: argparse.Namespace) -> int:
    """Measure the checkout; the result is written after each part, so that a failure loses no other part."""
    checkout = Checkout(given.checkout.resolve(), given.work.resolve(), given.first_port)
    checkout.require_own_code()
    inputs = Inputs(given.clips.resolve(), checkout.work / "made")
    inputs.make()
    checkout.import_models(given.models, given.golden / "seeded_weights.py")
    measured = {"commit": checkout.commit(), **checkout.versions(_PACKAGES)}
    networks = {str(home.name): sha256_of(_network(home)) for home in (checkout.home, checkout.whole_home)}
    result: Json = {"measured": measured, "inputs": inputs.sums(), "networks": networks, "memory": {}}
    parts = {"local": _local_parts, "service": _service_parts}
    for part in [given.only] if given.only else parts:
        for section, name, value in parts[part](checkout, inputs, given.job):
            result.setdefault(section, {})[name] = value
            print(f"{section}/{name}", flush=True)
            given.result.write_text(json.dumps(result, indent=1, default=str) + "\n")
    return 0


def _local_parts(checkout: Checkout, inputs: Inputs, wanted: str) -> Iterator[tuple[str, str, Any]]:
    if wanted == "*":
        yield from (("help", *named) for named in help_texts(checkout))
        yield from (("probe", *named) for named in probed(checkout, inputs))
    for job in LOCAL_JOBS:
        if fnmatch(job.name, wanted):
            outcome, peak_bytes = run_local(checkout, inputs, job)
            yield "local", job.name, asdict(outcome)
            yield "memory", f"local {job.name}", peak_bytes


def _service_parts(checkout: Checkout, inputs: Inputs, wanted: str) -> Iterator[tuple[str, str, Any]]:
    with started(checkout, inputs) as service:
        yield from (("deployments", *named) for named in service.deployments())
        for job in SERVICE_JOBS:
            if fnmatch(job.name, wanted):
                outcome, memory = service.run(job)
                yield "service", job.name, asdict(outcome)
                yield "memory", f"service {job.name}", memory
        if wanted == "*":
            yield "service", "over-rest", asdict(service.run_over_rest("over-rest", SERVICE_JOBS[0]))


def _network(home: Path) -> Path:
    [network] = home.glob("models/wav2lip/*.onnx")
    return network


def compare(given: argparse.Namespace) -> int:
    """Print the differences; returns 1 if there is one."""
    before, after = (json.loads(path.read_text()) for path in (given.before, given.after))
    one, other = ({name: part for name, part in each.items() if name not in _TOLD} for each in (before, after))
    found = [each for each in differences(one, other) if not any(fnmatch(each[0], mask) for mask in given.excepted)]
    for path, text in found:
        print(f"{path}: {text}")
    if given.memory:
        print(*memory_lines(before["memory"], after["memory"]), sep="\n")
    print(f"{len(found)} differences", file=sys.stderr)
    return 1 if found else 0


def differences(before: Any, after: Any, path: str = "") -> Iterator[tuple[str, str]]:
    """Each difference: its path with slashes and a description; a list or a text of many lines gives one difference."""
    if isinstance(before, dict) and isinstance(after, dict):
        for name in dict.fromkeys([*before, *after]):
            below = f"{path}/{name}" if path else name
            if name not in after or name not in before:
                yield below, "only before" if name in before else "only after"
            else:
                yield from differences(before[name], after[name], below)
    elif before != after:
        yield path, _change(before, after)


def _change(before: Any, after: Any) -> str:
    if isinstance(before, str) and isinstance(after, str) and "\n" in before + after:
        before, after = before.splitlines(), after.splitlines()
    if not isinstance(before, list) or not isinstance(after, list):
        return f"{before!r} -> {after!r}"
    length = "" if len(before) == len(after) else f"{len(before)} -> {len(after)} entries; "
    pairs = list(zip(before, after, strict=False))
    changed = [number for number, (one, other) in enumerate(pairs) if one != other]
    if not changed:
        return f"{length}the rest is the same"
    one, other = pairs[changed[0]]
    return f"{length}{len(changed)} of {len(pairs)} differ, the first at {changed[0]}: {one!r} -> {other!r}"


def memory_lines(before: Json, after: Json) -> Iterator[str]:
    """Each figure of memory in megabytes, before and after."""
    one, other = dict(_figures(before)), dict(_figures(after))
    for name in dict.fromkeys([*one, *other]):
        yield f"{name:<64}  {one.get(name, '-'):>8}  {other.get(name, '-'):>8}"


def _figures(memory: Any, path: str = "") -> Iterator[tuple[str, str]]:
    if isinstance(memory, dict):
        for name, value in memory.items():
            yield from _figures(value, f"{path}/{name}" if path else name)
    elif path.endswith("/mapped"):
        yield path, ",".join(memory) or "none"
    elif isinstance(memory, int) and not path.endswith("/started"):
        yield path, f"{memory / 1e6:.0f}"


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description="Outputs of two versions of the product, compared.")
    verbs = parser.add_subparsers(dest="verb")
    one = verbs.add_parser("measure", help="run the jobs on a checkout and write the result")
    one.set_defaults(run=measure)
    one.add_argument("result", type=Path)
    one.add_argument("--checkout", type=Path, required=True, help="with a .venv that holds all extras")
    one.add_argument("--work", type=Path, required=True, help="a folder for models, inputs and outputs")
    one.add_argument("--clips", type=Path, default=shared_files.CLIPS, help="the real clips")
    one.add_argument("--golden", type=Path, default=shared_files.GOLDEN, help="the folder of seeded_weights.py")
    one.add_argument("--models", type=Path, default=_OWN_MODELS, help="the folder of the embedded models")
    one.add_argument("--only", choices=["local", "service"])
    one.add_argument("--job", default="*", metavar="MASK", help="only the jobs whose names it fits")
    one.add_argument("--first-port", type=int, default=_FIRST_PORT)
    two = verbs.add_parser("compare", help="compare two results")
    two.set_defaults(run=compare)
    two.add_argument("before", type=Path)
    two.add_argument("after", type=Path)
    two.add_argument(
        "--except", dest="excepted", action="append", default=[], metavar="MASK", help="paths to leave out"
    )
    two.add_argument("--memory", action="store_true", help="show the figures of memory as well")
    return parser


def main() -> int:
    """Read the command line and run the command."""
    given = _parser().parse_args()
    if given.verb is None:
        print("same_outputs: left out, as it needs a verb and a checkout; see --help")
        return 0
    return int(given.run(given))


if __name__ == "__main__":
    raise SystemExit(main())
