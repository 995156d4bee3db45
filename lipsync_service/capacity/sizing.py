"""The smallest fleet for a stream of jobs: the arithmetic of the plan.

Each resource is sized by the same rule: (jobs a second) x (what a job uses of it) / (what one machine has of it) is the
number of machines at full load; divided by the target load, and rounded up, it is the number to have. Of several types
of machine the one is taken that costs least in all.
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from math import ceil

from lipsync_core.errors import OptionError
from lipsync_service.capacity.costs import JobCosts, Pool
from lipsync_service.capacity.fleet import SERVERS, ControlPlane, Fleet, Resource, Workers, worker_slots
from lipsync_service.capacity.prices import NodeType, PriceTable
from lipsync_service.names import CPU_POOL, GPU_POOL
from lipsync_service.worker.capacity import Machine, runs_at_once

_HOUR_S = 3600.0
_MAX_MACHINES = 10_000
_PRICE_DIGITS = 9  # sums of the same prices differ in the last bits
_GROWTH = 5  # a part with many machines grows by this share of them, so that a few simulations do


@dataclass(frozen=True, slots=True)
class Demand:
    """The jobs to be planned for."""

    jobs_per_hour: float
    clip_s: float  # the length of a job's output
    target_load: float = 0.7  # of the scarcest resource, 0..1

    @property
    def jobs_per_s(self) -> float:
        """Jobs that arrive in a second, on average."""
        return self.jobs_per_hour / _HOUR_S

    @property
    def video_minutes_per_hour(self) -> float:
        """Minutes of video made in an hour."""
        return self.jobs_per_hour * self.clip_s / 60.0


@dataclass(frozen=True, slots=True)
class Here:
    """A machine that is there, with all parts of the service on it. None: as the local stack has it."""

    cores: float
    cpu_slots: int | None = None  # runs at a time of the CPU pool's worker
    gpu_slots: int | None = None  # runs at a time of the GPU pool's worker; without a GPU it has none

    def fleet(self, job: JobCosts) -> Fleet:
        """The machine as a fleet that costs nothing; it has a GPU where the job uses one.

        Raises:
            OptionError: it has slots for a GPU pool, and the job no part there.
        """
        if self.gpu_slots and not job.has_gpu_pool:
            remedy = "leave the slots of the GPU pool away, or give the costs of jobs that used both pools"
            raise OptionError("a job of these costs is one run on the CPU pool", remedy)
        node = NodeType("here", self.cores, 1.0, 0.0, gpus=1 if job.gpu_s else 0)
        return single_machine(node, self, has_gpu_pool=job.has_gpu_pool and bool(self.gpu_slots or node.gpus))


def fleets(demand: Demand, costs: JobCosts, prices: PriceTable) -> list[Fleet]:
    """Fleets with a GPU pool, without one, and on a single machine, as far as the jobs allow; the cheapest first.

    Raises:
        OptionError: no machine of the table can hold a job, it would take thousands of machines, or the costs do not
            serve clips of that length.
    """
    job = costs.for_clip(demand.clip_s)
    found = _with_gpu_pool(demand, job, prices) if job.has_gpu_pool else []
    if not (job.gpu_s and job.has_gpu_pool):
        whole = job.in_one_run()
        found += [*_single_machines(demand, whole, prices), *_with_one_pool(demand, whole, prices)]
    if not found:
        raise OptionError("no machines of the price table do this", "add larger ones to it, or plan for fewer jobs")
    return sorted(found, key=price_order)


def _with_gpu_pool(demand: Demand, job: JobCosts, prices: PriceTable) -> list[Fleet]:
    """A fleet for each type of machine of the GPU pool."""
    cpu = min(_workers("cpu", prices.cpu_nodes, demand, job), key=price_order, default=None)
    control = _control_plane(demand, job, prices)
    if cpu is None or control is None:
        return []
    nodes = prices.gpu_nodes if job.gpu_s else prices.cpu_nodes
    return [Fleet(cpu, gpu, control) for gpu in _workers("gpu", nodes, demand, job)]


def _with_one_pool(demand: Demand, job: JobCosts, prices: PriceTable) -> list[Fleet]:
    """A fleet for each type of machine, where every job is one run."""
    control = _control_plane(demand, job, prices)
    nodes = prices.gpu_nodes if job.gpu_s else prices.cpu_nodes
    return [Fleet(cpu, None, control) for cpu in _workers("cpu", nodes, demand, job)] if control else []


def grown(fleet: Fleet, resource: Resource) -> Fleet:
    """The fleet with a fifth more machines, one at least, of the kind that this resource belongs to.

    Of server processes it gets a fifth more, and machines where these have no core for them.
    The service on a single machine has no second one of its kind: it needs a control plane of its own before.
    """
    control = fleet.control
    if resource.name == SERVERS and control.node:
        servers = control.servers + _more(control.servers)
        count = max(control.count, ceil(servers / control.node.cores - 1e-9))
        return replace(fleet, control=replace(control, count=count, servers=servers))
    if resource.name.startswith("control plane"):
        more = _more(control.count)
        return replace(fleet, control=replace(control, count=control.count + more, servers=control.servers + more))
    if fleet.gpu and resource.name.startswith("GPU"):
        return replace(fleet, gpu=replace(fleet.gpu, count=fleet.gpu.count + _more(fleet.gpu.count)))
    return replace(fleet, cpu=replace(fleet.cpu, count=fleet.cpu.count + _more(fleet.cpu.count)))


def _more(count: int) -> int:
    return max(1, count // _GROWTH)


def _workers(pool: Pool, nodes: Iterable[NodeType], demand: Demand, job: JobCosts) -> list[Workers]:
    """For each type of machine as many as the demand needs; none where a machine cannot hold a single run."""
    found = []
    for node in nodes:
        slots = worker_slots(pool, node, job)
        if slots:
            one = Workers(pool, node, 1, slots)
            load = max((each.load(demand.jobs_per_s) for each in one.resources(job)), default=0.0)
            count = max(1, ceil(load / demand.target_load - 1e-9))
            if count <= _MAX_MACHINES:
                found.append(replace(one, count=count))
    return found


def price_order(machines: Workers | ControlPlane | Fleet) -> tuple[float, int]:
    """The key that sorts by price; of those that cost the same, fewer machines go first."""
    return round(machines.price_per_hour, _PRICE_DIGITS), machines.count


def _control_plane(demand: Demand, job: JobCosts, prices: PriceTable) -> ControlPlane | None:
    """The cheapest machines for the control plane, with as many server processes as its CPU-seconds need."""
    busy_cores = demand.jobs_per_s * job.control_s
    servers = max(1, ceil(busy_cores / demand.target_load - 1e-9))
    cores = busy_cores / demand.target_load + job.footprint.control_idle_cores
    planes = []
    for node in prices.cpu_nodes:
        count = max(1, ceil(max(cores, servers) / node.cores - 1e-9))
        if node.memory_bytes >= job.footprint.control_bytes and count <= _MAX_MACHINES:
            planes.append(ControlPlane(node, count, servers))
    return min(planes, key=price_order, default=None)


def _single_machines(demand: Demand, job: JobCosts, prices: PriceTable) -> list[Fleet]:
    """The service on one machine without a GPU, as `make up` has it, on each type that carries all of it."""
    if job.gpu_s:
        return []
    found = []
    for node in prices.cpu_nodes:
        fleet = single_machine(node)
        loads = [each.load(demand.jobs_per_s) for each in fleet.resources(job)]
        needed_bytes = job.footprint.control_bytes + job.footprint.worker_bytes
        needed_bytes += fleet.cpu.slots * job.footprint.run_bytes
        if max(loads) <= demand.target_load and needed_bytes <= node.memory_bytes:
            found.append(fleet)
    return found


def single_machine(node: NodeType, here: Here | None = None, has_gpu_pool: bool = False) -> Fleet:
    """The pools and the control plane on one machine; the slots are by default those of the local stack."""
    machine = Machine(max(1, int(node.cores)), memory_bytes=None)
    cpu_slots = (here.cpu_slots if here else None) or runs_at_once(machine, CPU_POOL, has_gpu_pool)
    gpu_slots = (here.gpu_slots if here else None) or runs_at_once(machine, GPU_POOL, has_gpu_pool)
    cpu = Workers("cpu", node, 1, cpu_slots)
    return Fleet(cpu, None, ControlPlane(None, 0, 1), gpu_slots if has_gpu_pool else 0)
