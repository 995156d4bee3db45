"""The cores and the memory that a process may use, read from a made-up system."""

from pathlib import Path

import pytest

from lipsync_core.machine import allowed_cores, usable_cores, usable_memory_bytes

GIB = 1 << 30


def system(root: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    return root


def test_without_limits_the_cores_of_the_affinity_and_all_memory_count(tmp_path: Path) -> None:
    meminfo = f"MemTotal: {8 * GIB // 1024} kB\nMemFree: 1 kB\n"
    free = {"proc/self/cgroup": "0::/\n", "sys/fs/cgroup/cpu.max": "max 100000\n", "sys/fs/cgroup/memory.max": "max\n"}
    root = system(tmp_path, {**free, "proc/meminfo": meminfo})
    assert (usable_cores(root), usable_memory_bytes(root)) == (allowed_cores(), 8 * GIB)


@pytest.mark.parametrize("folder", ["sys/fs/cgroup/pod/box", "sys/fs/cgroup/pod"], ids=["own group", "group around"])
def test_the_quota_of_a_container_counts_wherever_it_stands(
    tmp_path: Path, folder: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("os.sched_getaffinity", lambda _: set(range(64)))
    limits = {f"{folder}/cpu.max": "250000 100000\n", f"{folder}/memory.max": f"{GIB}\n"}
    root = system(tmp_path, {"proc/self/cgroup": "0::/pod/box\n", "proc/meminfo": "MemTotal: 99999999 kB\n", **limits})
    assert (usable_cores(root), usable_memory_bytes(root)) == (3, GIB)


def test_the_first_version_of_cgroups_counts_as_well(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.sched_getaffinity", lambda _: set(range(64)))
    groups = "3:memory:/box\n2:cpu,cpuacct:/box\n1:name=systemd:/\n"
    cpu = {"sys/fs/cgroup/cpu/box/cpu.cfs_quota_us": "400000\n", "sys/fs/cgroup/cpu/box/cpu.cfs_period_us": "100000\n"}
    memory = {"sys/fs/cgroup/memory/box/memory.limit_in_bytes": f"{2 * GIB}\n"}
    root = system(tmp_path, {"proc/self/cgroup": groups, **cpu, **memory})
    assert (usable_cores(root), usable_memory_bytes(root)) == (4, 2 * GIB)
    (root / "sys/fs/cgroup/cpu/box/cpu.cfs_quota_us").write_text("-1\n")
    assert usable_cores(root) == 64


def test_a_system_that_says_nothing_sets_no_limit(tmp_path: Path) -> None:
    assert (usable_cores(tmp_path), usable_memory_bytes(tmp_path)) == (allowed_cores(), None)
