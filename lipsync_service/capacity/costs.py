"""The measured costs of one job: steps in their order, and what the parts around them take. Kept as TOML.

A step occupies `threads` cores for `cpu_s` CPU-seconds together, after it has waited `wait_s` for something that is
not a processor (a network, a worker's poll). All of it is as measured with nothing else running; that more work makes
each slower is the simulation's part.
"""

import json
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, fields, replace
from importlib import resources
from pathlib import Path
from typing import Any, Literal

from lipsync_core.errors import InputError, OptionError

Pool = Literal["cpu", "gpu"]
_POOLS = ("cpu", "gpu")
#: The steps with which a run of the GPU pool begins, and hands over to the job's own run.
TO_GPU, FROM_GPU = "start on the GPU pool", "return to the CPU pool"
_MAX_S = 1e6


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
        seconds = (self.cpu_s, self.wait_s, self.gpu_s, self.control_s, self.threads)
        if self.pool not in _POOLS or not all(0 <= each <= _MAX_S for each in seconds) or self.threads < 1:
            raise ValueError(f"the step {self.name!r} has a pool or a number that cannot be")

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
        if not all(0 <= getattr(self, each.name) <= 1e15 for each in fields(self)) or self.crash_rate >= 1:
            raise ValueError("the footprint has a number that cannot be")


@dataclass(frozen=True, slots=True)
class JobCosts:
    """The costs of a job with a clip of `clip_s` seconds."""

    source: str  # where the figures come from, for people
    model: str
    clip_s: float
    steps: tuple[Step, ...]
    footprint: Footprint = Footprint()

    def __post_init__(self) -> None:
        if not 0 < self.clip_s <= _MAX_S or not self.steps:
            raise ValueError("the costs of a job need a clip's length and at least one step")

    def for_clip(self, clip_s: float) -> "JobCosts":
        """The costs of a clip of another length: the steps that grow do so in proportion."""
        factor = clip_s / self.clip_s
        return replace(self, clip_s=clip_s, steps=tuple(step.for_clip(factor) for step in self.steps))

    @property
    def has_gpu_pool(self) -> bool:
        """Whether a part of the job is a run of its own, on the GPU pool."""
        return any(step.pool == "gpu" for step in self.steps)

    def in_one_run(self) -> "JobCosts":
        """The costs of the same job where there is no GPU pool: all of it is one run of the CPU pool."""
        kept = (step for step in self.steps if step.name not in (TO_GPU, FROM_GPU))
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
        steps = (step for step in self.steps if pool in (None, step.pool))
        return sum(each.wait_s + each.control_s + each.cpu_s / each.threads + each.gpu_s for each in steps)


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
    for job in tomllib.loads(text).get("jobs", []):
        try:
            yield _job_costs(job)
        except (TypeError, AttributeError) as exc:  # a field too many or too few, or of another type
            raise ValueError(str(exc)) from exc


def _job_costs(job: dict[str, Any]) -> JobCosts:
    steps = tuple(Step(**step) for step in job.pop("steps", []))
    return JobCosts(steps=steps, footprint=Footprint(**job.pop("footprint", {})), **job)
