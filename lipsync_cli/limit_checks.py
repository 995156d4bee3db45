"""The limits in `lipsync doctor`: this command's own, and those of the workers of the service that it is told of."""

from collections.abc import Iterator, Mapping
from dataclasses import asdict, fields
from pathlib import Path
from typing import TYPE_CHECKING

from lipsync_cli.check import Check
from lipsync_cli.environment import is_service_named, rules_of_reading
from lipsync_core.errors import LipSyncError
from lipsync_core.packages import is_installed

if TYPE_CHECKING:
    from lipsync_core.limits import Limits

_COMMAND = "lipsync doctor"
_ELSEWHERE = "those of a service: --service FILE, or this command with the workers' variables, on their host"


def limit_checks() -> Iterator[Check]:
    """The limits of `lipsync run` here, and the formats that it reads."""
    from lipsync_core.limits import Limits, limits, variable_of
    from lipsync_core.media.allowed import allowed

    try:
        with rules_of_reading():
            present, lists = limits(), allowed()
    except LipSyncError as exc:
        yield Check("limits", False, str(exc), f"unset {exc.message.split()[0].rstrip(':')}")
        return
    yield Check("limits", True, f"of `lipsync run`, probe and batch here; {_ELSEWHERE}")
    for each in fields(Limits):
        number = getattr(present, each.name)
        yield Check(f"limit {each.name}", True, f"{number} {each.metadata['help']}; {variable_of(each.name)}")
    yield Check("formats read", True, f"{', '.join(lists.demuxers)}; LIPSYNC_ALLOW_DEMUXERS adds some")
    yield Check("codecs read", True, f"{', '.join(lists.decoders)}; LIPSYNC_ALLOW_DECODERS adds some")
    if is_installed("pydantic-settings"):
        yield Check("limits of a worker", True, _of_a_worker_here(present))


def worker_checks(service_file: Path | None) -> Iterator[Check]:
    """The limits of the workers of the service that `service_file`, this folder or the environment names; none if none.

    A service that does not answer is no fault of this machine.
    """
    if service_file is None and not is_service_named():
        return
    from lipsync_cli.service import open_service

    try:
        with open_service(_COMMAND, service_file) as service:
            from lipsync_core.limits import Limits
            from lipsync_service.names import CPU_POOL, GPU_POOL

            for pool in (CPU_POOL, GPU_POOL):
                rules = service.client.rules(pool)
                if rules is not None:
                    limits = _told(rules.limits, asdict(Limits()), "the defaults")
                    detail = f"the last that started, on {rules.host} at {rules.since:%Y-%m-%d %H:%M %Z}: {limits}"
                    yield Check(f"limits of {pool}", True, detail)
                elif pool == CPU_POOL:
                    yield Check(f"limits of {pool}", True, f"not known: no worker has told them; {_ELSEWHERE}")
    except LipSyncError as exc:
        yield Check("limits of workers", True, f"not known: {exc.message}; {_ELSEWHERE}")


def _of_a_worker_here(own: "Limits") -> str:
    from lipsync_cli.extra import service_settings

    try:
        limits = service_settings(_COMMAND).limits
    except LipSyncError as exc:
        return f"not known: {exc.message}"
    return f"with the same variables: {_told(asdict(limits), asdict(own), 'the same')}"


def _told(limits: Mapping[str, float], usual: Mapping[str, float], words: str) -> str:
    """`words` for those of `limits` that are the `usual` ones, and the others by name."""
    changed = [f"{name} {number:.12g}" for name, number in limits.items() if usual.get(name) != number]
    return f"{words}, but {', '.join(changed)}" if changed else words
