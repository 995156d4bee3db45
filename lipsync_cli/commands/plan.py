"""`lipsync plan`: the machines that a service needs for a stream of jobs, and what a minute of video costs then."""

import math
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from lipsync_cli.extra import service_extra
from lipsync_cli.failures import write_file, write_stdout
from lipsync_cli.ledger import known_ledger
from lipsync_core.errors import OptionError, OutputError

if TYPE_CHECKING:
    from lipsync_service.capacity.costs import JobCosts
    from lipsync_service.capacity.long_job import LongJob
    from lipsync_service.capacity.planning import CapacityPlan, Replay

_COMMAND = "lipsync plan"
_REFERENCE = "reference"
_SEGMENT_S = 60.0  # as the service's setting
_FILE = click.Path(path_type=Path, dir_okay=False)


class Number(click.ParamType[float]):
    """A number between two others, both included; not `nan`, and no infinite one."""

    name = "number"

    def __init__(self, low: float, high: float) -> None:
        self._low, self._high = low, high

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """The number."""
        try:
            number = float(str(value))
        except ValueError:
            self.fail(f"{str(value)!r} is not a number", param, ctx)
        if not math.isfinite(number) or not self._low <= number <= self._high:
            self.fail(f"{value} is not between {self._low:g} and {self._high:g}", param, ctx)
        return number


@click.command(epilog="The arithmetic, the form of both files and a check against a real run: docs/plan.md.")
@click.option("--jobs-per-hour", type=Number(0.01, 100_000), metavar="N", help="Jobs that arrive in an hour.")
@click.option("--clip-seconds", type=Number(0.1, 86_400), metavar="S", help="The length of each result.")
@click.option("--model", default="viseme", metavar="NAME", help="The generator of the jobs.")
@click.option(
    "--target-load",
    type=Number(0.05, 0.95),
    default=0.7,
    help="The load that the scarcest part may have, 0.05 to 0.95.",
)
@click.option("--p95-seconds", type=Number(0.1, 1e6), metavar="S", help="Add machines until 95 % of jobs end in time.")
@click.option(
    "--burst",
    type=click.IntRange(0, 20_000),
    metavar="JOBS",
    show_default="N / 12",
    help="Jobs that come at once, once.",
)
@click.option("--prices", type=_FILE, metavar="FILE", help="Machines and their prices.  [default: the bundled table]")
@click.option("--write-prices", type=_FILE, metavar="FILE", help="Write the table of machines to edit, and end.")
@click.option(
    "--costs",
    metavar="FILE",
    help="The costs of a job: a file of --write-costs, or 'reference', which comes with lipsync.  [default: the "
    "ledger's newest jobs where it has three, else the reference]",
)
@click.option("--write-costs", type=_FILE, metavar="FILE", help="Write the costs that are used to a file.")
@click.option("--database", metavar="URL", help="The ledger, as of lipsync report.")
@click.option("--at-once", type=click.IntRange(1, 20_000), metavar="JOBS", help="Foretell so many jobs on one machine.")
@click.option("--workers", type=click.IntRange(1, 10_000), metavar="N", help="Foretell one long job on N workers.")
@click.option(
    "--segment-seconds",
    type=Number(0, 86_400),
    metavar="S",
    help="With --workers: LIPSYNC_SEGMENT_S of the service.  [default: 60]",
)
@click.option(
    "--cores",
    type=Number(0.1, 1024),
    help="With --at-once or --workers, of each worker.  [default: those of this machine]",
)
@click.option("--cpu-slots", type=click.IntRange(1, 10_000), show_default="cores", help="With --at-once.")
@click.option("--gpu-slots", type=click.IntRange(1, 10_000), show_default="none without a GPU", help="With --at-once.")
@click.option("--chart", type=_FILE, metavar="FILE.html", help="Write a page with charts.")
@click.option("--json", "as_json", is_flag=True, help="Write one JSON object to standard output.")
def plan(write_prices: Path | None, write_costs: Path | None, chart: Path | None, as_json: bool, **chosen: Any) -> None:
    """Say how many machines a stream of jobs needs, what binds, and what a minute of video costs.

    \b
    lipsync plan --jobs-per-hour 400 --clip-seconds 60
    lipsync plan --at-once 32 --clip-seconds 9.3
    lipsync plan --workers 8 --clip-seconds 3600
    """
    with service_extra(_COMMAND):
        from lipsync_service.capacity.costs import costs_toml
        from lipsync_service.capacity.long_job import LongJob
        from lipsync_service.capacity.prices import bundled_prices_toml
    if write_prices is not None:
        if write_prices.exists():  # somebody may have edited it
            raise OutputError(f"{write_prices} is there already", "remove it, or choose another file")
        write_file(write_prices, bundled_prices_toml(), "choose another file with --write-prices")
        return
    _check({**chosen, "chart": chart})
    costs = _costs(chosen["costs"], chosen["database"], chosen["model"])
    answer = _answer(costs, chosen)
    if write_costs is not None:
        write_file(write_costs, costs_toml(costs), "choose another file with --write-costs")
    if chart is not None and not isinstance(answer, LongJob):
        from lipsync_cli.render.plan_page import render_page

        write_file(chart, render_page(answer), "choose another file with --chart")
    from lipsync_cli.render import plan_table

    write_stdout(plan_table.render_json(answer) if as_json else plan_table.render_text(answer))


def _check(chosen: dict[str, Any]) -> None:
    """Refuse options that do not go together."""
    if chosen["clip_seconds"] is None:
        raise OptionError("the length of the clips is not known", "give it with --clip-seconds")
    kinds = [name for name in _OPTIONS_OF if chosen[name] is not None]
    if len(kinds) != 1:
        raise OptionError("give one of --jobs-per-hour, --at-once and --workers")
    given = {name for name in _WITH_ANY_KIND if chosen[name] is not None}
    wrong = sorted(given - _OPTIONS_OF[kinds[0]])
    if wrong:
        raise OptionError(f"{_option(wrong[0])} does not go with {_option(kinds[0])}")


#: The three questions, and the options that go with each.
_OPTIONS_OF = {
    "jobs_per_hour": {"burst", "p95_seconds", "prices", "chart"},
    "at_once": {"cores", "cpu_slots", "gpu_slots", "chart"},
    "workers": {"cores", "segment_seconds"},
}
_WITH_ANY_KIND = set().union(*_OPTIONS_OF.values())


def _option(name: str) -> str:
    return f"--{name.replace('_', '-')}"


def _costs(file: str | None, database: str | None, model: str) -> "JobCosts":
    """The costs from the file, else from the ledger, else the reference.

    Raises:
        OptionError: a ledger was named and has too few jobs of the model, or there is no reference for it.
        InputError: the file holds no costs of the model.
        LedgerUnavailableError: the ledger that was named cannot be read.
    """
    from lipsync_service.capacity.costs import read_costs, reference_costs
    from lipsync_service.capacity.measured import MIN_JOBS, ledger_costs, reference_overhead
    from lipsync_service.errors import LedgerUnavailableError

    if file is not None and database is not None:
        raise OptionError("--costs and --database both say what a job costs", "give one of them")
    if file is not None:
        return reference_costs(model) if file == _REFERENCE else read_costs(Path(file), model)
    try:
        overhead, footprint = reference_overhead(model)
        costs = ledger_costs(known_ledger(_COMMAND, database), model, overhead, footprint)
    except LedgerUnavailableError:
        if database is not None:
            raise
        costs = None
    if costs is None and database is not None:
        remedy = "run some, or leave --database out for the reference"
        raise OptionError(f"the ledger has no {MIN_JOBS} completed jobs of {model} that are alike", remedy)
    return reference_costs(model) if costs is None else costs


def _planned(costs: "JobCosts", chosen: dict[str, Any]) -> "CapacityPlan":
    from lipsync_service.capacity.planning import plan as planned
    from lipsync_service.capacity.prices import bundled_prices, read_prices
    from lipsync_service.capacity.sizing import Demand

    demand = Demand(chosen["jobs_per_hour"], chosen["clip_seconds"], chosen["target_load"])
    prices = bundled_prices() if chosen["prices"] is None else read_prices(chosen["prices"])
    return planned(demand, costs, prices, chosen["burst"], chosen["p95_seconds"])


def _answer(costs: "JobCosts", chosen: dict[str, Any]) -> "CapacityPlan | Replay | LongJob":
    if chosen["workers"] is not None:
        return _foretold(costs, chosen)
    return _planned(costs, chosen) if chosen["at_once"] is None else _replayed(costs, chosen)


def _foretold(costs: "JobCosts", chosen: dict[str, Any]) -> "LongJob":
    from lipsync_service.capacity.long_job import foretell

    segment_s = _SEGMENT_S if chosen["segment_seconds"] is None else chosen["segment_seconds"]
    if 0 < segment_s < 1:
        raise OptionError(f"segments of {segment_s:g} s are too short", "give 1 or more, or 0 for none")
    cores = chosen["cores"] or len(os.sched_getaffinity(0))
    return foretell(costs.for_clip(chosen["clip_seconds"]), chosen["workers"], segment_s, cores)


def _replayed(costs: "JobCosts", chosen: dict[str, Any]) -> "Replay":
    from lipsync_service.capacity.planning import replay
    from lipsync_service.capacity.sizing import Here

    cores = chosen["cores"] or len(os.sched_getaffinity(0))
    here = Here(cores, chosen["cpu_slots"], chosen["gpu_slots"])
    return replay(chosen["at_once"], costs.for_clip(chosen["clip_seconds"]), here)
