"""One measurement from its start to its figures: inputs, idle service, loads, `lipsync run`, the service of its own."""

import time
from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Literal

from lipsync_cli.bench.baseline import make_home, run_command
from lipsync_cli.bench.figures import SCHEMA, CommandRun, Enhancement, Figures, Idle, Load, Work
from lipsync_cli.bench.form import Form
from lipsync_cli.bench.inputs import InputPair, Say, distinct_inputs
from lipsync_cli.bench.machine import hardware
from lipsync_cli.bench.own_stack import OwnStack
from lipsync_cli.bench.target import Target
from lipsync_core.errors import LipSyncError
from lipsync_core.media.probe import require_audio, require_video
from lipsync_core.models import ModelStore
from lipsync_core.workspace import Workspace
from lipsync_service.errors import ServiceDownError

_ENHANCER = "gfpgan"
_PULL = "lipsync models pull gfpgan"


@dataclass(frozen=True, slots=True)
class Order:
    """What is to be measured."""

    name: Literal["quick", "whole"]
    form: Form
    source: InputPair
    model: str
    command: str  # as it was called
    folder: Path  # for the files of the measurement


class Measurement:
    """Makes the figures of one order, step by step."""

    def __init__(self, order: Order, target: Target, say: Say) -> None:
        self._order, self._form, self._target, self._say = order, order.form, target, say
        self._runs: list[CommandRun] = []
        self._notes = list(target.notes)

    def figures(self, own: AbstractContextManager[OwnStack] | None) -> Figures:
        """Measure everything; `own` makes the service for the table of workers, None leaves that out.

        Raises:
            LipSyncError: the service does not answer, or cannot do the first job.
        """
        order, form = self._order, self._form
        pairs = list(distinct_inputs(order.source, order.folder, form.inputs, form.seconds, self._say))
        self._home = make_home(order.folder / "home")
        first = pairs.pop()
        self._say("the first request, which warms the service up")
        self._target.try_out(first, order.model)
        idle = self._idle()
        levels = self._levels(pairs)
        cached = tuple(self._cached(first))
        enhancement = self._enhancement(first)
        workers = () if own is None else self._workers(own, pairs)
        return Figures(
            measured_at=datetime.now(UTC).replace(microsecond=0),
            version=version("lipsync"),
            form=order.name,
            command=order.command,
            service=self._target.address,
            hardware=hardware(),
            work=_work(first, order.model),
            baseline=tuple(self._runs),
            idle=idle,
            levels=levels,
            cached=cached,
            workers=workers,
            enhancement=enhancement,
            notes=tuple(self._notes),
            schema=SCHEMA,
        )

    def _idle(self) -> Idle | None:
        parts = self._target.parts
        if parts is None:
            return None
        self._say(f"the idle service, {self._form.idle_s:g} s")
        parts.wait_for_runs()  # of the first request
        before, began_s = parts.cpu(0.0), time.monotonic()
        time.sleep(self._form.idle_s)
        used, wall_s = parts.cpu(0.0).since(before), time.monotonic() - began_s
        return Idle(wall_s, used, parts.now().stack_bytes)

    def _levels(self, pairs: list[InputPair]) -> tuple[Load, ...]:
        loads = []
        between = self._form.runs_between_levels
        for level in self._form.levels:
            chosen = [pairs.pop() for _ in range(level.requests)]
            self._run_commands(chosen[:between])
            self._say(f"{level.requests} requests, {level.at_once} at once")
            loads.append(_completed(self._target.load(chosen, level.at_once, self._order.model)))
        self._run_commands([pairs.pop() for _ in range(between)])
        around = [tuple(self._runs[at * between : (at + 2) * between]) for at in range(len(loads))]
        return tuple(replace(load, beside=runs) for load, runs in zip(loads, around, strict=True))

    def _run_commands(self, pairs: Sequence[InputPair]) -> None:
        for pair in pairs:
            self._say("lipsync run")
            self._runs.append(run_command(pair, self._order.model, self._home))

    def _cached(self, pair: InputPair) -> Sequence[Load]:
        loads = []
        for level in self._form.cached:
            self._say(f"{level.requests} requests for one video, {level.at_once} at once")
            loads.append(_completed(self._target.load([pair] * level.requests, level.at_once, self._order.model)))
        return loads

    def _enhancement(self, pair: InputPair) -> Enhancement:
        status = ModelStore(Workspace.default().models).status(_ENHANCER)
        if status != "installed":
            return Enhancement(None, None, f"{_ENHANCER} is {status} on this machine: {_PULL}")
        self._say("one job with the face restored")
        command = run_command(pair, self._order.model, self._home, is_enhanced=True)
        load = self._target.load([pair], 1, self._order.model, is_enhanced=True)
        if load.failures:
            return Enhancement(None, command, f"the service's job failed: {', '.join(load.failures)}")
        return Enhancement(load.median_s, command)

    def _workers(self, own: AbstractContextManager[OwnStack], pairs: list[InputPair]) -> tuple[Load, ...]:
        """The loads for several numbers of workers; those before a failure, which becomes a note."""
        loads: list[Load] = []
        try:
            with own as stack:
                for count in self._form.workers:
                    loads.append(self._with_workers(stack, count, pairs))
                self._say("stopping the service of its own")
        except LipSyncError as error:  # the figures so far are worth keeping
            self._notes.append(f"The table of workers is not complete: {error}")
        return tuple(loads)

    def _with_workers(self, stack: OwnStack, count: int, pairs: list[InputPair]) -> Load:
        level = self._form.worker_level
        self._say(f"a service of its own with {count} workers")
        stack.up(count)
        chosen = [pairs.pop() for _ in range(level.requests)]
        self._say(f"{level.requests} requests, {level.at_once} at once, {count} workers")
        target = self._target.of_own_stack(stack)
        return _completed(target.load(chosen, level.at_once, self._order.model, workers=count))


def _completed(load: Load) -> Load:
    """The load. Raises ServiceDownError where none of its requests completed: there is nothing to measure any more."""
    if not load.request_s:
        raise ServiceDownError(f"none of {load.requests} requests completed: {', '.join(sorted(set(load.failures)))}")
    return load


def _work(pair: InputPair, model: str) -> Work:
    video, audio = require_video(pair.video), require_audio(pair.audio)
    return Work(
        width_px=video.width_px,
        height_px=video.height_px,
        frames_per_s=float(video.frame_rate),
        video_s=float(video.duration_s or 0),
        sound_s=float(audio.duration_s or 0),
        model=model,
    )
