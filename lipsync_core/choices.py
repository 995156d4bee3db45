"""Options that take one of a few names."""

from collections.abc import Sequence

from lipsync_core.errors import OptionError


def listed(choices: Sequence[str]) -> str:
    """The choices as a phrase: "a, b or c"."""
    return " or ".join(filter(None, (", ".join(choices[:-1]), choices[-1])))


def require_choice(name: str, value: str, choices: Sequence[str]) -> None:
    """Make sure that the option called `name` has one of its values.

    Raises:
        OptionError: it has another one.
    """
    if value not in choices:
        raise OptionError(f"{name} is {value!r}", f"choose {listed(choices)}")
