"""A discrete-event simulation of the service: jobs that arrive, both pools, their machines, and the control plane.

A job takes a slot of the CPU pool and keeps it to its end, also while its part on the GPU pool, where it has one, works
with a slot of its own. Work of one machine shares the machine's cores by thread (`SharedProcessor`). The control plane
answers as many requests at once as it has server processes; where it lives on a worker's machine, it takes that one's
cores.
"""

import heapq
import math
import random
from collections import deque
from collections.abc import Generator, Sequence
from dataclasses import dataclass, field

import simpy

from lipsync_service.capacity.costs import JobCosts, Pool, Step
from lipsync_service.capacity.shared_processor import SharedProcessor

_MAX_ATTEMPTS = 3  # the watcher's

_Events = Generator[simpy.Event, object, None]


@dataclass(frozen=True, slots=True)
class WorkerNode:
    """A kind of machine in a pool."""

    cores: float
    slots: int
    gpus: int = 0
    gpu_speed: float = 1.0


@dataclass(frozen=True, slots=True)
class Site:
    """All machines of a service."""

    cpu_nodes: tuple[WorkerNode, ...]
    gpu_nodes: tuple[WorkerNode, ...]  # none: the GPU pool's slots, if any, are on the CPU pool's machines
    gpu_slots_here: int = 0  # of each CPU node, where there are no GPU nodes
    control_cores: float = 0.0  # of a machine of its own; 0: it shares the first CPU node
    control_servers: int = 1  # server processes; each uses one core at most


@dataclass(frozen=True, slots=True)
class Workload:
    """Jobs over time: a Poisson stream of `jobs_per_s`, and `burst` jobs more that come at once at `burst_at_s`."""

    jobs: int  # of the stream
    jobs_per_s: float
    burst: int = 0
    burst_at_s: float = 0.0
    seed: int = 1


@dataclass(frozen=True, slots=True)
class SimulatedJob:
    """One job, in seconds since the beginning."""

    arrived_s: float
    ended_s: float
    is_burst: bool
    attempts: int
    is_failed: bool

    @property
    def latency_s(self) -> float:
        """From its arrival to its end."""
        return self.ended_s - self.arrived_s


@dataclass(frozen=True, slots=True)
class SimulationResult:
    """What came out. Loads are shares of a capacity, 0..1, over the time until the last arrival (or the last end)."""

    jobs: tuple[SimulatedJob, ...]
    loads: dict[str, float]
    longest_queue: int  # jobs that waited for a slot of the CPU pool at one moment
    makespan_s: float


@dataclass(slots=True)
class _Node:
    cpu: SharedProcessor
    gpu: SharedProcessor | None
    gpu_speed: float
    free: int
    index: int = 0  # in its pool


@dataclass(slots=True)
class _Pool:
    """Slots of several machines with one queue, first come first served; the machine with most free slots takes."""

    environment: simpy.Environment
    nodes: list[_Node]
    waiting: deque[simpy.Event] = field(default_factory=deque)
    longest: int = 0
    _freest: list[tuple[int, int]] = field(init=False)  # heap: -free and index; entries of before are passed over

    def __post_init__(self) -> None:
        self._freest = [(-node.free, index) for index, node in enumerate(self.nodes)]
        heapq.heapify(self._freest)
        for index, node in enumerate(self.nodes):
            node.index = index

    def take(self) -> simpy.Event:
        """An event whose value is the machine."""
        event = self.environment.event()
        self.waiting.append(event)
        self._serve()
        self.longest = max(self.longest, len(self.waiting))
        return event

    def give_back(self, node: _Node) -> None:
        """Free a slot of the machine."""
        self._set_free(node, node.free + 1)
        self._serve()

    def _serve(self) -> None:
        while self.waiting and (node := self._most_free()).free:
            self._set_free(node, node.free - 1)
            self.waiting.popleft().succeed(node)

    def _most_free(self) -> _Node:
        """The first of the machines with most free slots."""
        while True:
            free, index = self._freest[0]
            if self.nodes[index].free == -free:
                return self.nodes[index]
            heapq.heappop(self._freest)

    def _set_free(self, node: _Node, free: int) -> None:
        node.free = free
        heapq.heappush(self._freest, (-free, node.index))


class Simulation:
    """One run of the simulation."""

    def __init__(self, site: Site, costs: JobCosts, workload: Workload) -> None:
        self._environment = simpy.Environment()
        self._costs = costs
        self._workload = workload
        self._random = random.Random(workload.seed)  # noqa: S311 - no secret
        self._ended: list[SimulatedJob] = []
        self._pools: dict[Pool, _Pool] = self._machines(site)
        idle = costs.footprint.control_idle_cores
        if site.control_cores:
            self._control_cpu = SharedProcessor(self._environment, max(1e-3, site.control_cores - idle))
        else:
            self._control_cpu = self._pools["cpu"].nodes[0].cpu
            self._control_cpu.cores = max(1e-3, self._control_cpu.cores - idle)
        self._servers = simpy.Resource(self._environment, site.control_servers)

    def run(self) -> SimulationResult:
        """Simulate until the last job has ended."""
        arrivals = self._environment.process(self._arrivals())
        self._environment.run(until=arrivals)
        counted_s = self._environment.now
        if counted_s:
            loads = self._loads(counted_s)
        self._environment.run()
        makespan_s = max(job.ended_s for job in self._ended)
        if not counted_s:
            loads = self._loads(makespan_s)
        return SimulationResult(tuple(self._ended), loads, self._pools["cpu"].longest, makespan_s)

    def _machines(self, site: Site) -> dict[Pool, _Pool]:
        cpu = [self._node(each) for each in site.cpu_nodes]
        if site.gpu_nodes:
            gpu = [self._node(each) for each in site.gpu_nodes]
        else:
            gpu = [_Node(each.cpu, each.gpu, each.gpu_speed, site.gpu_slots_here) for each in cpu]
        return {"cpu": _Pool(self._environment, cpu), "gpu": _Pool(self._environment, gpu)}

    def _node(self, node: WorkerNode) -> _Node:
        gpu = SharedProcessor(self._environment, node.gpus) if node.gpus else None
        return _Node(SharedProcessor(self._environment, node.cores), gpu, node.gpu_speed, node.slots)

    def _loads(self, until_s: float) -> dict[str, float]:
        """The share of each resource that was used from the beginning to `until_s`, which is now."""
        cpu, gpu = self._pools["cpu"].nodes, self._pools["gpu"].nodes
        loads = {"CPU workers' cores": _load([each.cpu for each in cpu], until_s)}
        if gpu[0].cpu is not cpu[0].cpu:
            loads["GPU workers' cores"] = _load([each.cpu for each in gpu], until_s)
        gpus = [each.gpu for each in gpu if each.gpu is not None]
        if gpus:
            loads["GPUs"] = _load(gpus, until_s)
        if self._control_cpu is not cpu[0].cpu:
            loads["control plane's cores"] = _load([self._control_cpu], until_s)
        return loads

    def _arrivals(self) -> _Events:
        load = self._workload
        if load.burst:
            self._environment.process(self._burst())
        for _ in range(load.jobs):
            yield self._environment.timeout(self._random.expovariate(load.jobs_per_s))
            self._environment.process(self._job(is_burst=False))

    def _burst(self) -> _Events:
        yield self._environment.timeout(self._workload.burst_at_s)
        for _ in range(self._workload.burst):
            self._environment.process(self._job(is_burst=True))

    def _job(self, is_burst: bool) -> _Events:
        """A job with all its attempts. A crash comes at a random step, and the next attempt begins anew."""
        footprint, arrived_s = self._costs.footprint, self._environment.now
        spread = math.log1p(footprint.spread**2)  # of a log-normal factor with the mean 1
        factor = self._random.lognormvariate(-spread / 2, math.sqrt(spread))
        attempt, is_failed = 0, True
        while is_failed and attempt < _MAX_ATTEMPTS:
            attempt += 1
            is_failed = self._random.random() < footprint.crash_rate
            last = self._random.randrange(len(self._costs.steps)) if is_failed else None
            yield from self._attempt(self._costs.steps[:last], factor)
            if is_failed and attempt < _MAX_ATTEMPTS:
                yield self._environment.timeout(footprint.recovery_s)
        self._ended.append(SimulatedJob(arrived_s, self._environment.now, is_burst, attempt, is_failed))

    def _attempt(self, steps: Sequence[Step], factor: float) -> _Events:
        cpu_node, gpu_node = (yield self._pools["cpu"].take()), None
        assert isinstance(cpu_node, _Node)  # noqa: S101 - the event's value
        for index, step in enumerate(steps):
            if step.pool == "gpu" and gpu_node is None:
                gpu_node = yield self._pools["gpu"].take()
            node = cpu_node if step.pool == "cpu" else gpu_node
            assert isinstance(node, _Node)  # noqa: S101
            yield from self._step(step, node, factor)
            is_last = index + 1 == len(steps) or steps[index + 1].pool == "cpu"
            if isinstance(gpu_node, _Node) and step.pool == "gpu" and is_last:
                self._pools["gpu"].give_back(gpu_node)
                gpu_node = None
        self._pools["cpu"].give_back(cpu_node)

    def _step(self, step: Step, node: _Node, factor: float) -> _Events:
        if step.control_s:
            with self._servers.request() as server:
                yield server
                yield self._control_cpu.work(step.control_s)
        if step.wait_s:
            yield self._environment.timeout(step.wait_s)
        yield node.cpu.work(step.cpu_s * factor, step.threads)
        if step.gpu_s and node.gpu is not None:
            yield node.gpu.work(step.gpu_s * factor / node.gpu_speed)


def _load(processors: Sequence[SharedProcessor], until_s: float) -> float:
    return sum(each.busy_core_s for each in processors) / (until_s * sum(each.cores for each in processors))


def simulate(site: Site, costs: JobCosts, workload: Workload) -> SimulationResult:
    """Simulate the workload on the site until its last job has ended."""
    return Simulation(site, costs, workload).run()
