"""Tables of a TOML file as dataclasses: every field is known, is there, and has its type."""

import tomllib
from collections.abc import Mapping
from typing import Any, TypeVar, get_type_hints

_Kind = TypeVar("_Kind")

#: The types that TOML may give for a field of each type, and the word for it.
_TYPES: Mapping[object, tuple[frozenset[type], str]] = {
    str: (frozenset((str,)), "text"),
    bool: (frozenset((bool,)), "'true' or 'false'"),
    float: (frozenset((int, float)), "number"),
    int: (frozenset((int, float)), "number"),  # 1.0 is a whole number, too
}


def load_toml(text: str) -> dict[str, Any]:
    """The document. Raises ValueError where the text is no TOML."""
    try:
        return tomllib.loads(text)
    except RecursionError as exc:
        raise ValueError("it nests too deeply") from exc


def array_of_tables(table: Mapping[str, Any], name: str) -> list[dict[str, Any]]:
    """The tables `[[name]]`. Raises ValueError where there are none."""
    found = table.get(name)
    if not isinstance(found, list) or not found or not all(isinstance(each, dict) for each in found):
        raise ValueError(f"it has no [[{name}]]")
    return found


def from_table(kind: type[_Kind], table: Mapping[str, Any], owner: str) -> _Kind:
    """A `kind`, which is a dataclass, from the table; `owner` stands for it in messages.

    Raises:
        ValueError: a field is unknown, is missing, or has another type; or `kind` refuses a value.
    """
    known = get_type_hints(kind)
    for name, value in table.items():
        if name not in known:
            raise ValueError(f"{owner} has the unknown field {name!r}")
        types, word = _TYPES.get(known[name], (frozenset((type(value),)), ""))
        if type(value) not in types:  # not isinstance: Python counts True as a number
            raise ValueError(f"{name} of {owner} is no {word}")
    try:
        return kind(**table)
    except TypeError as exc:
        raise ValueError(f"{owner} lacks a field") from exc
