"""Types of option values that click lacks: moments, faces, local files; and the folder of the product's files."""

import os
import re
from fractions import Fraction
from pathlib import Path
from typing import Any

import click

from lipsync_core.errors import InputMissingError, LipSyncError
from lipsync_core.option_specs import FRAME_RATE, picture_size
from lipsync_core.workspace import Workspace

_ADDRESS = r"[A-Za-z][A-Za-z0-9+.-]*://"  # the beginning of an absolute URI (RFC 3986, 3.1 and 3.2)
_MAX_DIGITS = 18  # no index and no time is longer, and Python refuses to convert thousands of digits
_MOMENT = re.compile(r"(?:(?:(?P<hours>\d+):)?(?P<minutes>\d+):)?(?P<seconds>\d+(?:\.\d*)?|\.\d+)", re.ASCII)


class Moment(click.ParamType[Fraction]):
    """Seconds, or [HH:]MM:SS, either with a decimal part; exact."""

    name = "time"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> Fraction:
        """The moment in seconds."""
        if isinstance(value, Fraction):
            return value
        found = _MOMENT.fullmatch(str(value)) if len(str(value)) <= 3 * _MAX_DIGITS else None
        if found is None:
            self.fail(f"{str(value)!r} is not a time; write seconds (12.5) or [HH:]MM:SS (1:02.5)", param, ctx)
        hours, minutes = int(found["hours"] or 0), int(found["minutes"] or 0)
        seconds = Fraction(found["seconds"])
        if found["minutes"] is not None and (seconds >= 60 or (found["hours"] is not None and minutes >= 60)):
            self.fail(f"{str(value)!r} is not a time; minutes and seconds stay below 60", param, ctx)
        return hours * 3600 + minutes * 60 + seconds


class FrameRate(click.ParamType[Fraction]):
    """Frames a second: 25, 29.97 or 30000/1001; exact."""

    name = "rate"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> Fraction:
        """The rate in frames/s."""
        if isinstance(value, Fraction):
            return value
        text = str(value)
        if re.fullmatch(FRAME_RATE, text, re.ASCII) is None:
            self.fail(f"{text!r} is not a frame rate; write 25, 29.97 or 30000/1001", param, ctx)
        return Fraction(text)


class PictureSize(click.ParamType[tuple[int, int]]):
    """Width and height in pixels: 1920x1080."""

    name = "WxH"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> tuple[int, int]:
        """Width and height."""
        if isinstance(value, tuple):
            return value
        try:
            return picture_size(str(value))
        except ValueError as exc:
            self.fail(str(exc), param, ctx)


class LocalFile(click.Path):
    """A file of this machine; an address is refused in words of its own, as a path it would lose one of its slashes."""

    def __init__(self, refusal: type[LipSyncError] = InputMissingError) -> None:
        super().__init__(path_type=Path)
        self._refusal = refusal  # of an address

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """The path.

        Raises:
            LipSyncError: the value is an address, and no file has that name; of the class that refuses one.
        """
        if re.match(_ADDRESS, str(value), re.ASCII) and not os.path.lexists(value):
            raise self._refusal(
                f"{value} is an address, and no file of this machine", "`lipsync submit` takes addresses"
            )
        return super().convert(value, param, ctx)


class FaceChoice(click.ParamType[int | None]):
    """The face to follow: the largest (None), or an index counted from the left."""

    name = "largest|N"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> int | None:
        """The index, or None for `largest`."""
        text = str(value)
        if text == "largest":
            return None
        if not (text.isascii() and text.isdigit()) or len(text) > _MAX_DIGITS:
            self.fail(f"{text!r} is neither 'largest' nor a number; faces count from 0, left to right", param, ctx)
        return int(text)


def workspace_at(home: Path | None) -> Workspace:
    """The workspace below `home`, or the user's own."""
    return Workspace.default() if home is None else Workspace.below(home)
