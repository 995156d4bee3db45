"""One hostile file: how it is made, and the code that the product ends with."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Case:
    """One file that is given as the video or the sound of a job."""

    name: str  # of the file, and of the test
    code: str  # of `lipsync run`
    make: Callable[[Path], object]
    probed: str | None = None  # the code of `lipsync probe` where it is another; "" for none
    is_sound: bool = False
    variables: Mapping[str, str] = field(default_factory=dict)
    options: tuple[str, ...] = ()
    label: str = ""

    def __str__(self) -> str:
        return self.label or self.name


def data(content: bytes | str) -> Callable[[Path], object]:
    """Makes a file with this content."""
    as_bytes = content.encode() if isinstance(content, str) else content
    return lambda path: path.write_bytes(as_bytes)


def like(seed: str, change: Callable[[bytes], bytes] = lambda content: content) -> Callable[[Path], object]:
    """Makes a file like one of the fuzzer's, changed."""
    return lambda path: path.write_bytes(change((path.parent.parent / "seeds" / seed).read_bytes()))
