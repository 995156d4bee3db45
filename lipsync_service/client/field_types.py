"""Values of a request that JSON writes as text: frame rates, sizes, tracks."""

import re
from fractions import Fraction
from typing import Annotated

from pydantic import BeforeValidator, Field, PlainSerializer, PlainValidator, WithJsonSchema

from lipsync_core.option_specs import FRAME_RATE, PICTURE_SIZE, picture_size

_MAX_TRACK_CHARS = 64  # longer than any language with its region


def _to_rate(value: object) -> Fraction:
    if not isinstance(value, Fraction) and re.fullmatch(FRAME_RATE, str(value), re.ASCII) is None:
        raise ValueError("it is no frame rate, such as 25, 29.97 or 30000/1001")
    return Fraction(value if isinstance(value, Fraction) else str(value))


Rate = Annotated[
    Fraction,
    PlainValidator(_to_rate),
    PlainSerializer(str, when_used="json"),
    WithJsonSchema({"type": "string", "pattern": f"^{FRAME_RATE}$"}),
]


def _to_size(value: object) -> tuple[int, int]:
    try:
        return picture_size("x".join(map(str, value)) if isinstance(value, tuple) else str(value))
    except ValueError as exc:
        raise ValueError("it is no size, such as 1920x1080") from exc


Size = Annotated[
    tuple[int, int],
    PlainValidator(_to_size),
    PlainSerializer(lambda size: "{}x{}".format(*size), when_used="json"),
    WithJsonSchema({"type": "string", "pattern": f"^{PICTURE_SIZE}$"}),
]


def _to_track(value: object) -> object:
    """A manifest in JSON may write the number of a track as one."""
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else value


Track = Annotated[str, Field(min_length=1, max_length=_MAX_TRACK_CHARS), BeforeValidator(_to_track)]
