"""The measured costs of one job: steps in their order, and what the parts around them take. Kept as TOML.

A step occupies `threads` cores for `cpu_s` CPU-seconds together, after it has waited `wait_s` for something that is
not a processor (a network, a worker's poll). All of it is as measured with nothing else running; that more work makes
each slower is the simulation's part.
"""

import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, fields, replace
from importlib import resources
from pathlib import Path
from typing import Any, Literal

from lipsync_core.errors import InputError, OptionError
from lipsync_service.capacity.toml_tables import array_of_tables, from_table, load_toml

Pool = Literal["cpu", "gpu"]
_POOLS = ("cpu", "gpu")
#: The steps with which a run of the GPU pool begins, and hands over to the job's own run.
TO_GPU, FROM_GPU = "start on the GPU pool", "return to the CPU pool"
_HANDOVER = (TO_GPU, FROM_GPU)
_MAX_S = 1e6
_MIN_S = 1e-3  # of all steps together; a job that takes no time would need no machine
MAX_THREADS = 1e4
_MAX_BYTES = 1e15


@dataclass(frozen=True, slots=True)
class Step:
    """One step of a job on a worker of `pool`."""

    name: str
    pool: Pool
    cpu_s: float = 0.0
    wait_s: float = 0.0
    threads: float = 1.0  # that work at once on average, alone on a machine
    gpu_s: float = 0.0  # of a GPU of speed 1 in the price table
    control_s: float = 0.0  # CPU-seconds that the control plane spends on this step
    grows: bool = False  # with the length of the clip; else it is the same for each job

    def __post_init__(self) -> None:
        seconds = (self.cpu_s, self.wait_s, self.gpu_s, self.control_s)
        if self.pool not in _POOLS:
            raise ValueError(f"the pool of the step {self.name!r} is none of {', '.join(_POOLS)}")
        if not all(0 <= each <= _MAX_S for each in seconds):
            raise ValueError(f"the step {self.name!r} has a time that is not between 0 and {_MAX_S:g} s")
        if not 1 <= self.threads <= MAX_THREADS:
            raise ValueError(f"the threads of the step {self.name!r} are not between 1 and {MAX_THREADS:g}")

    @property
    def wall_s(self) -> float:
        """Seconds with nothing else running."""
        return self.wait_s + self.control_s + self.cpu_s / self.threads + self.gpu_s

    def for_clip(self, factor: float) -> "Step":
        """The step for a clip that is `factor` times as long as the measured one."""
        if not self.grows:
            return self
        return replace(
            self,
            cpu_s=factor * self.cpu_s,
            wait_s=factor * self.wait_s,
            gpu_s=factor * self.gpu_s,
            control_s=factor * self.control_s,
        )


_LARGEST = {"spread": 10.0, "crash_rate": 0.99}  # of the fields that are neither bytes, seconds nor cores


@dataclass(frozen=True, slots=True)
class Footprint:
    """What the service takes beside the steps of its jobs."""

    control_idle_cores: float = 0.0  # of the control plane, while nothing runs
    control_bytes: float = 1e9  # memory of the control plane
    worker_bytes: float = 3e8  # memory of a worker's machine before its first run
    run_bytes: float = 3e8  # memory of one more running run
    gpu_run_bytes: float = 0.0  # GPU memory of one more run on the GPU pool
    spread: float = 0.05  # standard deviation of a job's CPU-seconds over their mean
    crash_rate: float = 0.0  # of the attempts
    recovery_s: float = 12.0  # from a crash to the next attempt

    def __post_init__(self) -> None:
        for each in fields(self):
            most = _MAX_BYTES if each.name.endswith("_bytes") else _LARGEST.get(each.name, _MAX_S)
            if not 0 <= getattr(self, each.name) <= most:
                raise ValueError(f"{each.name} of the footprint is not between 0 and {most:g}")


@dataclass(frozen=True, slots=True)
class JobCosts:
    """The costs of a job with a clip of `clip_s` seconds."""

    source: str  # where the figures come from, for people
    model: str
    clip_s: float
    steps: tuple[Step, ...]
    footprint: Footprint = Footprint()

    def __post_init__(self) -> None:
        if not _MIN_S <= self.clip_s <= _MAX_S:
            raise ValueError(f"the length of the clip is not between {_MIN_S:g} and {_MAX_S:g} s")
        if sum(step.wall_s for step in self.steps if step.name not in _HANDOVER) < _MIN_S:
            raise ValueError(f"all steps of the job together take less than {_MIN_S:g} s")

    def for_clip(self, clip_s: float) -> "JobCosts":
        """The costs of a clip of another length: the steps that grow do so in proportion.

        Raises:
            OptionError: a step would take less or more time than any can.
        """
        factor = clip_s / self.clip_s
        try:
            return replace(self, clip_s=clip_s, steps=tuple(step.for_clip(factor) for step in self.steps))
        except ValueError as exc:
            message = f"these costs, of a clip of {self.clip_s:g} s, do not serve one of {clip_s:g} s: {exc}"
            raise OptionError(message, "give another length, or other costs") from exc

    @property
    def has_gpu_pool(self) -> bool:
        """Whether a part of the job is a run of its own, on the GPU pool."""
        return any(step.pool == "gpu" for step in self.steps)

    def in_one_run(self) -> "JobCosts":
        """The costs of the same job where there is no GPU pool: all of it is one run of the CPU pool."""
        kept = (step for step in self.steps if step.name not in _HANDOVER)
        return replace(self, steps=tuple(replace(step, pool="cpu") for step in kept))

    def cpu_s(self, pool: Pool) -> float:
        """CPU-seconds of a job on one pool."""
        return sum(step.cpu_s for step in self.steps if step.pool == pool)

    @property
    def gpu_s(self) -> float:
        """Seconds of a job on a GPU of speed 1."""
        return sum(step.gpu_s for step in self.steps)

    @property
    def control_s(self) -> float:
        """CPU-seconds of the control plane for one job."""
        return sum(step.control_s for step in self.steps)

    def wall_s(self, pool: Pool | None = None) -> float:
        """Seconds of a job on one pool, or of all of it, with nothing else running."""
        return sum(step.wall_s for step in self.steps if pool in (None, step.pool))


def reference_costs(model: str) -> JobCosts:
    """The costs that come with this product.

    Raises:
        OptionError: there are none of this model.
    """
    text = resources.files("lipsync_service.capacity").joinpath("reference.toml").read_text(encoding="utf-8")
    known = {costs.model: costs for costs in _read(text)}
    if model not in known:
        remedy = f"name one of {', '.join(known)}, or give a ledger that has such jobs"
        raise OptionError(f"there are no reference costs of the model {model!r}", remedy)
    return known[model]


def read_costs(path: Path, model: str) -> JobCosts:
    """The costs of `model` from a file in the form of `costs_toml`.

    Raises:
        InputError: it cannot be read, is not in that form, or has no such model.
    """
    try:
        known = {costs.model: costs for costs in _read(path.read_text(encoding="utf-8"))}
        return known[model]
    except KeyError as exc:
        raise InputError(f"{path} has no costs of the model {model!r}", "name another with --model") from exc
    except OSError as exc:
        raise InputError(f"{path} cannot be read: {exc.strerror}", "name another file with --costs") from exc
    except ValueError as exc:
        raise InputError(f"{path} holds no costs: {exc}", "write a good one with --write-costs") from exc


def costs_toml(costs: JobCosts) -> str:
    """The costs as TOML."""
    head = {"source": costs.source, "model": costs.model, "clip_s": costs.clip_s}
    blocks = [("[[jobs]]", head), ("[jobs.footprint]", asdict(costs.footprint))]
    blocks += [("[[jobs.steps]]", asdict(step)) for step in costs.steps]
    return "\n".join(line for title, values in blocks for line in (title, *_assignments(values), ""))


def _assignments(values: Mapping[str, object]) -> Iterator[str]:
    """Lines of TOML: JSON writes strings, finite numbers and booleans the same way."""
    for name, value in values.items():
        yield f"{name} = {json.dumps(round(value, 6) if isinstance(value, float) else value, allow_nan=False)}"


def _read(text: str) -> Iterator[JobCosts]:
    """Every `[[jobs]]` of the text. Raises ValueError with the fault."""
    for job in array_of_tables(load_toml(text), "jobs"):
        yield _job_costs(job)


def _job_costs(job: Mapping[str, Any]) -> JobCosts:
    steps = tuple(from_table(Step, step, "a step") for step in array_of_tables(job, "steps"))
    footprint = job.get("footprint", {})
    if not isinstance(footprint, dict):
        raise ValueError("the footprint is no table")
    parts = {"steps": steps, "footprint": from_table(Footprint, footprint, "the footprint")}
    return from_table(JobCosts, {**job, **parts}, "the job")
