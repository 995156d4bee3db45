"""The types of a request's fields, beside those of its options."""

import re
from fractions import Fraction
from typing import Annotated

from pydantic import AfterValidator, Field, PlainSerializer, PlainValidator, WithJsonSchema

from lipsync_core.option_specs import FRAME_RATE


def is_storable(text: str) -> bool:
    """Whether databases and file names can hold `text`: no NUL, and no half of a character of UTF-16."""
    return "\0" not in text and not any("\ud800" <= each <= "\udfff" for each in text)


def _storable(text: str) -> str:
    if not is_storable(text):
        raise ValueError("it holds a NUL or half a character")
    return text


Url = Annotated[str, Field(min_length=1, max_length=4096), AfterValidator(_storable)]
Label = Annotated[str, Field(max_length=1024), AfterValidator(_storable)]
LabelName = Annotated[str, AfterValidator(_storable)]
Key = Annotated[str, Field(min_length=1, max_length=255), AfterValidator(_storable)]


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
