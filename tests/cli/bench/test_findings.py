"""What the findings say follows from the figures, and changes with them."""

from dataclasses import replace

import pytest

pytest.importorskip("pydantic", reason="a measurement needs the extra 'service'")
from lipsync_cli.bench.figures import CommandRun, GpuPeak, Idle, Load, Machine
from lipsync_cli.bench.findings import (
    best_level,
    bottleneck,
    bytes_per_running_request,
    findings,
    grown_bytes,
    pace,
    plateau,
    ratios,
)
from tests.cli.bench.made_figures import FIGURES, load


def ratio(text: str, figures: object = FIGURES) -> tuple[float, bool]:
    [found] = [each for each in ratios(figures) if each.text == text]  # type: ignore[arg-type]
    return found.measured, found.is_met


def said(figures: object = FIGURES) -> str:
    return "\n".join(findings(figures))  # type: ignore[arg-type]


def test_throughput_stops_growing_at_the_first_level_near_the_best() -> None:
    assert best_level(FIGURES.levels).at_once == 4
    assert plateau(FIGURES).at_once == 4  # 0.14 is less than .95 of 0.15
    near = (load(1, 0.1), load(2, 0.149), load(4, 0.15))
    assert plateau(replace(FIGURES, levels=near)).at_once == 2


def test_a_level_is_compared_with_the_command_just_before_and_after_it() -> None:
    """The machine has become half as fast between two levels that do equally well beside the command."""
    fast = replace(load(2, 0.2), beside=(CommandRun(8.0, 12.0, 1), CommandRun(8.0, 12.0, 1)))
    slow = replace(load(4, 0.1), beside=(CommandRun(16.0, 24.0, 1), CommandRun(16.0, 24.0, 1)))
    drifting = replace(FIGURES, levels=(fast, slow))
    assert "loop, just before and after, the levels did 1.60 to 1.60 times" in said(drifting)
    assert "just before" not in said()  # the file has no such runs: those of the whole measurement stand for them
    assert pace(drifting, fast) == pace(drifting, slow) == pytest.approx(1.6)
    assert ratio("throughput at 4 against the best", drifting) == (pytest.approx(1.0), True)
    text = "CPU of the machine for a request at 4, against lipsync run"
    assert ratio(text, drifting)[0] == pytest.approx(2.0 / 0.1 / 24)


def test_throughput_is_compared_with_the_best_and_with_the_command() -> None:
    assert ratio("throughput at 2 against the best") == (pytest.approx(0.14 / 0.15), False)
    assert ratio("throughput at 8 against the best") == (pytest.approx(0.149 / 0.15), True)
    assert ratio("throughput at 16 against the best") == (pytest.approx(0.8), False)
    assert ratio("best throughput against lipsync run in a loop") == (pytest.approx(1.5), True)


def test_the_machines_cpu_is_compared_with_that_of_the_command() -> None:
    text = "CPU of the machine for a request at 4, against lipsync run"
    assert ratio(text) == (pytest.approx(2.0 / 0.15 / 16), True)
    dear = replace(FIGURES, baseline=(CommandRun(10.0, 8.0, 1),))
    assert ratio(text, dear) == (pytest.approx(2.0 / 0.15 / 8), False)


def test_the_control_plane_has_limits_of_its_own() -> None:
    text = "CPU of Prefect's server and PostgreSQL for a request at 4"
    assert ratio(text) == (pytest.approx(2.0 / 0.15 * 5 / 16), False)
    assert ratio("the idle service, share of one core") == (pytest.approx(0.06), False)
    quiet = replace(FIGURES, idle=Idle(30.0, replace(FIGURES.idle.parts, server=0.3), 1))  # type: ignore[union-attr]
    assert ratio("the idle service, share of one core", quiet) == (pytest.approx(0.04), True)


def with_more(machine: Machine | None, stack_bytes: int) -> Machine:
    assert machine is not None
    memory = tuple(replace(peak, stack_bytes=peak.stack_bytes + stack_bytes) for peak in machine.memory)
    return replace(machine, memory=memory)


def test_the_memory_of_one_more_request_is_the_slope_of_the_peaks() -> None:
    assert bytes_per_running_request(FIGURES.levels) == pytest.approx(120e6)
    assert ratio("memory (PSS) of one more running request") == (pytest.approx(120), True)
    assert bytes_per_running_request([load(1, 0.1)]) is None
    # A later load, for which the servers have grown, does not count.
    grown = replace(FIGURES.levels[-1], machine=with_more(FIGURES.levels[-1].machine, 500_000_000))
    assert bytes_per_running_request([*FIGURES.levels, grown]) == pytest.approx(120e6)
    assert grown_bytes(FIGURES.levels) == 0
    assert grown_bytes([*FIGURES.levels, grown]) == pytest.approx(500e6)
    assert "grew by 500 MB in" in " ".join(findings(replace(FIGURES, levels=(*FIGURES.levels, grown))))


def test_one_request_alone_is_compared_with_the_command() -> None:
    text = "one request through the idle service, longer than lipsync run by"
    assert ratio(text) == (pytest.approx(2.5), True)


@pytest.mark.parametrize(
    ("level", "name", "share"),
    [
        (load(4, 0.15, cores_busy=1.9), "processor", 0.95),
        (replace(load(4, 0.15, cores_busy=0.5), gpu=GpuPeak(0.97, None)), "GPU", 0.97),
        (load(4, 0.15, cores_busy=0.5, running=2), "slots of the workers", 1.0),
    ],
)
def test_the_full_resource_binds(level: Load, name: str, share: float) -> None:
    found = bottleneck(FIGURES, level)
    assert found is not None
    assert (found.name, found.share) == (name, pytest.approx(share))


def test_memory_binds_where_it_is_full() -> None:
    level = load(4, 0.15, cores_busy=0.5)
    small = replace(FIGURES, hardware=replace(FIGURES.hardware, memory_bytes=1_400_000_000))
    found = bottleneck(small, level)
    assert found is not None and found.name == "memory"


def test_nothing_binds_where_nothing_is_full() -> None:
    assert bottleneck(FIGURES, load(4, 0.15, cores_busy=0.5)) is None
    idle = replace(FIGURES, levels=(load(1, 0.1, cores_busy=0.5), load(2, 0.2, cores_busy=0.5)))
    assert "Nothing that was measured is full" in said(idle)


def test_the_sentences_hold_the_figures() -> None:
    text = said()
    assert "All 68 requests completed." in text
    assert "stops growing at 4 requests at once, with 0.150 requests/s" in text
    assert "The processor binds: 100% of 2 cores were busy, 50% of that with the jobs and 44% with" in text
    assert "costs 13.3 CPU seconds" in text and "120 MB (PSS)" in text
    assert "8 workers on one machine do 1.00 times the throughput of 1" in text


def test_failed_requests_are_said_first() -> None:
    failed = replace(FIGURES.levels[0], failures=("NO_FACE",))
    text = findings(replace(FIGURES, levels=(failed, *FIGURES.levels[1:])))
    assert text[0] == "1 of 69 requests failed: NO_FACE."


def test_a_busy_machine_is_told() -> None:
    assert "Not a quiet machine" not in said()
    level = load(1, 0.1)
    assert level.machine is not None
    busy = replace(level, machine=Machine(level.machine.cpu_s * 2, level.machine.parts, level.machine.memory))
    disturbed = replace(FIGURES, levels=(busy, *FIGURES.levels[1:]))
    found = findings(disturbed)
    assert (
        found[0].startswith("Not a quiet machine") and "(2.06 at 1 at once)" in found[0]
    )  # before all that rests on it


def test_limits_are_not_judged_where_other_programs_took_more_than_a_tenth_of_a_core() -> None:
    def verdicts(other_cores: float) -> dict[str, bool]:
        four = FIGURES.levels[2]
        assert four.machine is not None
        cpu_s = four.machine.parts.total + other_cores * four.wall_s
        loads = tuple(
            replace(level, machine=replace(four.machine, cpu_s=cpu_s)) if level is four else level
            for level in FIGURES.levels
        )
        return {each.text: each.is_judged for each in ratios(replace(FIGURES, levels=loads))}

    assert all(verdicts(0.09).values())
    disturbed = verdicts(0.11)
    assert not disturbed["CPU of the machine for a request at 4, against lipsync run"]
    assert not disturbed["throughput at 2 against the best"]  # the best is that of 4 at once
    assert disturbed["CPU of the machine for a request at 2, against lipsync run"]
    assert disturbed["memory (PSS) of one more running request"]


def test_limits_against_a_command_that_others_disturbed_are_not_judged() -> None:
    busy = replace(FIGURES, baseline=tuple(replace(run, other_cpu_s=2.0) for run in FIGURES.baseline))
    assert "0.20 beside lipsync run" in findings(busy)[0]
    judged = {each.text: each.is_judged for each in ratios(busy)}
    assert not judged["best throughput against lipsync run in a loop"]
    assert not judged["one request through the idle service, longer than lipsync run by"]
    assert judged["throughput at 4 against the best"]


def test_other_programs_are_not_charged_to_the_service() -> None:
    level = FIGURES.levels[2]
    assert level.machine is not None
    machine = replace(level.machine, cpu_s=level.machine.cpu_s * 1.5)
    busy = said(replace(FIGURES, levels=(*FIGURES.levels[:2], replace(level, machine=machine))))
    own_s = level.machine.parts.total / level.requests
    assert f"costs {own_s:.1f} CPU seconds of the service at 4 at once" in busy
    assert "with other programs" in busy


@pytest.mark.parametrize(("longest_s", "is_said"), [(11.4, False), (11.8, True)])
def test_a_reference_that_varies_is_said(longest_s: float, is_said: bool) -> None:
    runs = tuple(CommandRun(wall_s, 16.0, 1) for wall_s in (10.0, 10.0, longest_s))
    assert (
        "lipsync run took 10.0 to 11.8 s, 18% of its median of 10.0 s" in said(replace(FIGURES, baseline=runs))
    ) == (is_said)


def test_a_service_elsewhere_has_no_findings_about_its_machine() -> None:
    levels = tuple(replace(level, machine=None) for level in FIGURES.levels)
    far = replace(FIGURES, levels=levels, workers=(), idle=None)
    texts = [each.text for each in ratios(far)]
    assert not [text for text in texts if "CPU" in text or "memory" in text or "share of one core" in text]
    assert "stops growing at 4" in said(far)


def test_shorter_requests_are_not_taken_for_those_of_the_old_system() -> None:
    assert "1.9 times as many are done here, on 2 cores." in said()
    short = replace(FIGURES, work=replace(FIGURES.work, sound_s=3.0))
    assert "on 2 cores, but of 3.0 s each and not of 9.3 s." in said(short)
