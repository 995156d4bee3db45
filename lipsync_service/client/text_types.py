"""The types of a request's texts: no database and no file name can hold all that JSON can."""

from typing import Annotated

from pydantic import AfterValidator, Field


def is_storable(text: str) -> bool:
    """Whether databases and file names can hold `text`: no NUL, and no half of a character of UTF-16."""
    return "\0" not in text and not any("\ud800" <= each <= "\udfff" for each in text)


def storable(text: str) -> str:
    """`text` with a replacement in the place of each character that cannot be stored."""
    return "".join(each if is_storable(each) else "\N{REPLACEMENT CHARACTER}" for each in text)


def _storable(text: str) -> str:
    if not is_storable(text):
        raise ValueError("it holds a NUL or half a character")
    return text


Url = Annotated[str, Field(min_length=1, max_length=4096), AfterValidator(_storable)]
Label = Annotated[str, Field(max_length=1024), AfterValidator(_storable)]
LabelName = Annotated[str, AfterValidator(_storable)]
Key = Annotated[str, Field(min_length=1, max_length=255), AfterValidator(_storable)]
