"""The machines of a service and what each of their resources can carry."""

from dataclasses import dataclass
from math import ceil, floor

from lipsync_service.capacity.costs import JobCosts, Pool
from lipsync_service.capacity.prices import NodeType
from lipsync_service.capacity.simulation import Site, WorkerNode

SERVERS = "control plane's servers"  # the name of a resource
_NEGLIGIBLE_S = 1e-9  # a job that uses no more of something does not use it
_MAX_SLOTS = 10_000  # of a machine, as --cpu-slots has it


@dataclass(frozen=True, slots=True)
class Resource:
    """Something that a job uses up, and how many jobs a second all of it carries."""

    name: str
    jobs_per_s: float

    def load(self, jobs_per_s: float) -> float:
        """The share of it that so many jobs take; 1 is all of it."""
        return jobs_per_s / self.jobs_per_s


@dataclass(frozen=True, slots=True)
class Workers:
    """The machines of one pool, all of one type."""

    pool: Pool
    node: NodeType
    count: int
    slots: int  # runs at a time on each machine: its worker's limit

    @property
    def price_per_hour(self) -> float:
        """Of all of them."""
        return self.count * self.node.price_per_hour

    def resources(self, costs: JobCosts) -> list[Resource]:
        """What a job of these costs uses of them."""
        owner = f"{self.pool.upper()} workers'"
        uses = [
            (f"{owner} cores", self.node.cores, costs.cpu_s(self.pool)),
            ("GPUs", self.node.gpus * self.node.speed, costs.gpu_s if self.node.gpus else 0.0),
            (f"{owner} slots", self.slots, costs.wall_s(None if self.pool == "cpu" else "gpu")),
        ]
        return [Resource(name, self.count * amount / used) for name, amount, used in uses if used > _NEGLIGIBLE_S]


@dataclass(frozen=True, slots=True)
class ControlPlane:
    """The machines of Prefect's server, its database, storage and watcher; none: it lives on the first CPU worker."""

    node: NodeType | None
    count: int
    servers: int  # processes of Prefect's server in all; each uses one core at most

    @property
    def price_per_hour(self) -> float:
        """Of all of them."""
        return self.count * self.node.price_per_hour if self.node else 0.0

    def resources(self, costs: JobCosts) -> list[Resource]:
        """What a job of these costs uses of it."""
        if costs.control_s <= _NEGLIGIBLE_S:
            return []
        found = [Resource(SERVERS, self.servers / costs.control_s)]
        if self.node:
            cores = self.count * self.node.cores - costs.footprint.control_idle_cores
            found.append(Resource("control plane's cores", max(1e-9, cores) / costs.control_s))
        return found


@dataclass(frozen=True, slots=True)
class Fleet:
    """All machines of a service. Without GPU workers the GPU pool is on the CPU workers' machines, or there is none."""

    cpu: Workers
    gpu: Workers | None
    control: ControlPlane
    gpu_slots_here: int = 0  # of each CPU worker's machine, without GPU workers; 0: there is no GPU pool

    @property
    def price_per_hour(self) -> float:
        """Of all machines."""
        workers = self.cpu.price_per_hour + (self.gpu.price_per_hour if self.gpu else 0.0)
        return workers + self.control.price_per_hour

    @property
    def count(self) -> int:
        """Of all machines."""
        return self.cpu.count + (self.gpu.count if self.gpu else 0) + self.control.count

    @property
    def type_name(self) -> str:
        """The type of machine that does the jobs; where there are two, that of the GPU pool."""
        return self.gpu.node.name if self.gpu else self.cpu.node.name

    def alone_s(self, costs: JobCosts) -> float:
        """Seconds of a job of these costs, in the form that it has here, with nothing else running."""
        node = (self.gpu or self.cpu).node
        return costs.wall_s() + costs.gpu_s * (1 / node.speed - 1)

    def form_of(self, costs: JobCosts) -> JobCosts:
        """The costs as a job has them here: without a GPU pool it is one run."""
        return costs if self.gpu or self.gpu_slots_here else costs.in_one_run()

    def resources(self, costs: JobCosts) -> list[Resource]:
        """All that a job of these costs, in the form that it has here, uses, the scarcest first."""
        of_workers = [*self.cpu.resources(costs), *(self.gpu.resources(costs) if self.gpu else ())]
        found = [*(of_workers if self.control.node else self._shared(costs)), *self.control.resources(costs)]
        return sorted(found, key=lambda each: each.jobs_per_s)

    def site(self) -> Site:
        """The same for the simulation."""
        control = self.control
        return Site(
            cpu_nodes=_nodes(self.cpu),
            gpu_nodes=_nodes(self.gpu) if self.gpu else (),
            gpu_slots_here=self.gpu_slots_here,
            control_cores=control.count * control.node.cores if control.node else 0.0,
            control_servers=control.servers,
        )

    def _shared(self, costs: JobCosts) -> list[Resource]:
        """Where one machine does all of it, its cores carry both pools and the control plane."""
        node, used_s = self.cpu.node, costs.cpu_s("cpu") + costs.cpu_s("gpu") + costs.control_s
        uses = [
            ("cores", node.cores - costs.footprint.control_idle_cores, used_s),
            ("GPUs", node.gpus * node.speed, costs.gpu_s if node.gpus else 0.0),
            ("CPU workers' slots", self.cpu.slots, costs.wall_s()),
            ("GPU workers' slots", self.gpu_slots_here, costs.wall_s("gpu")),
        ]
        return [Resource(name, max(1e-9, amount) / used) for name, amount, used in uses if used > _NEGLIGIBLE_S]


def worker_slots(pool: Pool, node: NodeType, costs: JobCosts) -> int:
    """Runs at a time that keep a machine's cores busy, as far as its memory and its GPUs' memory hold them.

    A run that waits (for its part on the GPU pool, for a network) uses no core, so there are more runs than cores:
    cores x (seconds of a run) / (CPU-seconds of a run).
    """
    footprint = costs.footprint
    cpu_s, wall_s = costs.cpu_s(pool), costs.wall_s(None if pool == "cpu" else "gpu")
    wanted = node.cores * max(1.0, wall_s / cpu_s) if cpu_s > _NEGLIGIBLE_S else node.cores
    limits = [_MAX_SLOTS, ceil(wanted)]
    if footprint.run_bytes:
        limits.append(floor((node.memory_bytes - footprint.worker_bytes) / footprint.run_bytes))
    if node.gpus and footprint.gpu_run_bytes:
        limits.append(floor(node.gpus * node.gpu_memory_gb * 1e9 / footprint.gpu_run_bytes))
    return max(0, min(limits))


def _nodes(workers: Workers) -> tuple[WorkerNode, ...]:
    node = workers.node
    return (WorkerNode(node.cores, workers.slots, node.gpus, node.speed),) * workers.count
