"""The command line's options of a job, made from the core's options: same names, choices, defaults and help texts."""

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, TypeVar

import click

from lipsync_cli.values import FaceChoice, FrameRate, Moment, PictureSize
from lipsync_core.execution import Execution
from lipsync_core.option_specs import OPTIONS, PRESETS
from lipsync_core.options import JobOptions

_Command = TypeVar("_Command", bound=Callable[..., Any])
_DEFAULTS = (JobOptions(), Execution())
#: Settings of `click.option` that the core's options do not tell, the same for every command.
_OWN: Mapping[str, Mapping[str, Any]] = MappingProxyType(
    {
        "model": {"metavar": "NAME"},
        "tracker": {"metavar": "NAME"},
        "expression": {"type": float},
        "face": {"type": FaceChoice()},
        "pix_fmt": {"metavar": "NAME", "type": click.Choice(OPTIONS["pix_fmt"].choices)},
        "max_size": {"type": PictureSize()},
        "crf": {"type": int},
        "preset": {"metavar": "NAME", "type": click.Choice(PRESETS)},
        "fps": {"type": FrameRate()},
        "start_s": {"type": Moment(), "default": "0"},
        "end_s": {"type": Moment()},
        "video_track": {"metavar": "N|LANGUAGE"},
        "audio_track": {"metavar": "N|LANGUAGE"},
        "min_synced": {"type": float},
        "min_score": {"type": float},
        "jobs": {"metavar": "N", "type": click.IntRange(1, 256)},
    }
)


def job_option(name: str, **settings: Any) -> Callable[[_Command], _Command]:
    """The click option for the field `name` of `JobOptions` or `Execution`, called --name without its unit.

    `settings` are arguments of `click.option`; they override those made from the core's option.
    """
    spec, default = OPTIONS[name], _default(name)
    own: dict[str, Any] = {"help": spec.help}
    settings = {**_OWN.get(name, {}), **settings}
    if spec.unset:
        own["show_default"] = spec.unset
    if isinstance(default, bool):
        own |= {"is_flag": True, "default": default}
    elif default is not None:
        own["default"] = default
    if spec.choices and "metavar" not in settings:
        own["type"] = click.Choice(spec.choices)
    given = f"--{spec.option}/--no-{spec.option}" if default is True else f"--{spec.option}"
    return click.option(given, name, **{**own, **settings})


def _default(name: str) -> object:
    return next(getattr(options, name) for options in _DEFAULTS if hasattr(options, name))
