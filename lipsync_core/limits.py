"""The limits of one job: how much of this machine a file of unknown origin may take.

They belong to the process, not to the job: whoever runs the machine sets them (docs/limits.md), and every module that
reads files asks for them here. Each check stands before the expensive part of its work.
"""

import re
from collections.abc import Iterable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field, fields, replace
from decimal import Decimal
from difflib import get_close_matches
from typing import Any

from lipsync_core.errors import OptionError
from lipsync_core.in_force import InForce

#: The start of the names of their environment variables: LIPSYNC_MAX_PIXELS sets `max_pixels`.
PREFIX = "LIPSYNC_"
_MIB, _GIB = 1 << 20, 1 << 30
_UNITS = {
    **dict.fromkeys(("", "B"), 1),
    **{name: 1000**power for power, name in enumerate(("KB", "MB", "GB", "TB"), 1)},
    **{name: 1024**power for power, name in enumerate(("KIB", "MIB", "GIB", "TIB"), 1)},
}
_NUMBER = re.compile(r"(\+?[0-9]+(?:_[0-9]+)*\.?[0-9]*(?:[eE][+-]?[0-9]{1,4})?) *([A-Za-z]*)")
_LEAST_S = Decimal("0.001")
_MOST = (1 << 63) - 1
_MOST_COUNTED = (1 << 31) - 1  # FFmpeg takes no larger numbers of pixels and streams
_DAY_S = 86_400


def _limit(default: float, help_text: str) -> Any:
    return field(default=default, metadata={"help": help_text})


@dataclass(frozen=True, slots=True)
class Limits:
    """One number for each limit; a file or a job beyond one ends with that limit's code.

    Raises:
        OptionError: a number is not positive.
    """

    max_input_bytes: int = _limit(4 * _GIB, "size of an input that the service fetches (LIMIT_BYTES)")
    max_duration_s: float = _limit(_DAY_S, "duration of an input, as decoded (LIMIT_DURATION)")
    max_pixels: int = _limit(64_000_000, "pixels of a picture (LIMIT_PIXELS)")
    max_frames: int = _limit(3_000_000, "frames of a video and of a result (LIMIT_FRAMES)")
    max_frame_rate: int = _limit(1000, "frames a second (LIMIT_FRAME_RATE)")
    max_streams: int = _limit(100, "streams of a file (LIMIT_STREAMS)")
    max_channels: int = _limit(32, "channels of a sound (LIMIT_CHANNELS)")
    min_sample_rate_hz: int = _limit(4000, "least samples a second of a sound (LIMIT_SAMPLE_RATE)")
    max_sample_rate_hz: int = _limit(768_000, "samples a second of a sound (LIMIT_SAMPLE_RATE)")
    max_index_entries: int = _limit(5_000_000, "entries that a file's index unfolds to (LIMIT_INDEX)")
    max_metadata_bytes: int = _limit(16 * _MIB, "bytes that compressed headers and texts unfold to (LIMIT_METADATA)")
    max_manifest_rows: int = _limit(100_000, "rows of a manifest (LIMIT_MANIFEST)")
    max_manifest_bytes: int = _limit(64 * _MIB, "bytes of a manifest (LIMIT_MANIFEST)")
    max_transfer_s: float = _limit(1500.0, "time of one file to or from a web server (LIMIT_TRANSFER_TIME)")
    max_output_bytes: int = _limit(64 * _GIB, "size of a result (LIMIT_OUTPUT)")
    min_free_bytes: int = _limit(100_000_000, "room that the output's disk has before a job (LIMIT_DISK)")
    max_job_s: float = _limit(_DAY_S, "time of a job (LIMIT_TIME)")
    max_job_cpu_s: float = _limit(4 * _DAY_S, "processor time of a job (LIMIT_CPU)")
    max_job_memory_bytes: int = _limit(8 * _GIB, "memory of a job (LIMIT_MEMORY)")
    max_reading_memory_bytes: int = _limit(2 * _GIB, "memory of a process that reads one file (LIMIT_MEMORY)")
    max_reading_cpu_s: int = _limit(300, "its processor time for one picture or one answer (LIMIT_CPU)")
    max_opening_memory_bytes: int = _limit(_GIB, "its memory until the file is open (LIMIT_MEMORY)")
    max_opening_cpu_s: int = _limit(20, "its processor time until then (LIMIT_CPU)")

    def __post_init__(self) -> None:
        for each in fields(self):
            if not getattr(self, each.name) > 0:
                raise OptionError(f"{variable_of(each.name)} is not above 0", "change it or unset it")


def variable_of(name: str) -> str:
    """The environment variable of the limit `name`."""
    return PREFIX + name.upper()


def limits_of(variables: Mapping[str, str]) -> Limits:
    """The limits that environment `variables` set; the others have their defaults.

    Raises:
        OptionError: a variable holds no number that `limit_of` takes, or has the name of a limit that there is not.
    """
    require_known(variables)
    chosen: dict[str, Any] = {}
    for each in fields(Limits):
        text = variables.get(variable_of(each.name), "")
        try:
            if text.strip():
                chosen[each.name] = limit_of(each.name, text)
        except ValueError as exc:
            raise OptionError(f"{variable_of(each.name)} cannot be used: {exc}", "change it or unset it") from exc
    return replace(Limits(), **chosen)


def require_known(variables: Iterable[str]) -> None:
    """Refuse a variable that looks like a limit and is none: whoever sets it relies on it.

    Raises:
        OptionError: there is one.
    """
    known = [variable_of(each.name) for each in fields(Limits)]
    for name in sorted(each.upper() for each in variables):
        if name.startswith((f"{PREFIX}MAX_", f"{PREFIX}MIN_")) and name not in known:
            close = get_close_matches(name, known, 1)
            meant = f"do you mean {close[0]}?" if close else "see docs/limits.md"
            raise OptionError(f"{name} is no limit", meant)


def limit_of(name: str, text: str) -> float:
    """The number that `text` means for the limit `name`: 5, 1e6, 0.5 of seconds alone, 4GiB of bytes alone.

    Raises:
        ValueError: it means none, or one that the limit cannot be.
    """
    if name.endswith("_bytes"):
        return size_bytes(text)
    number = _number(text, {"": 1})
    if next(each.type is float for each in fields(Limits) if each.name == name):
        return float(_within(number, _LEAST_S, _MOST))
    if number != number.to_integral_value():
        raise ValueError("it is no whole number")
    return int(_within(number, Decimal(1), _MOST_COUNTED))


def size_bytes(text: str) -> int:
    """The bytes that `text` means: 4096, 4KiB or 1.5 GB. Raises ValueError as `limit_of`."""
    return int(_within(_number(text, _UNITS), Decimal(1), _MOST))


def limits() -> Limits:
    """The limits that are in force in this process."""
    return _in_force.value


def limited(to: Limits) -> AbstractContextManager[None]:
    """Put the limits `to` in force for the block, in all threads."""
    return _in_force.changed(to)


_in_force = InForce(Limits())


def _number(text: str, units: Mapping[str, int]) -> Decimal:
    found = _NUMBER.fullmatch(text.strip())
    unit = units.get(found[2].upper()) if found else None
    if found is None or unit is None:
        known = ", alone or with a unit: B, KB, MB, GB, TB, KiB, MiB, GiB or TiB" if len(units) > 1 else ""
        raise ValueError(f"it is no number above 0{known}")  # the text may be a secret
    return Decimal(found[1]) * unit


def _within(number: Decimal, least: Decimal, most: int) -> Decimal:
    if not least <= number <= most:
        raise ValueError(f"it is not from {least} to {most}")
    return number
