"""The type of a setting that is a size: its text means the same as in a limit, such as 4GiB."""

from typing import Annotated

from pydantic import BeforeValidator, ByteSize

from lipsync_core.limits import size_bytes


def _parsed(value: object) -> object:
    return size_bytes(value) if isinstance(value, str) else value


Size = Annotated[ByteSize, BeforeValidator(_parsed)]
