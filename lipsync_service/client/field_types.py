"""Values of a request that JSON writes as text: frame rates."""

import re
from fractions import Fraction
from typing import Annotated

from pydantic import PlainSerializer, PlainValidator, WithJsonSchema

from lipsync_core.option_specs import FRAME_RATE


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
