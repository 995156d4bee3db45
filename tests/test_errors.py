"""The two trees of errors are drawn as they are."""

import inspect
import re
from types import ModuleType

import pytest

import lipsync_core.errors
import lipsync_service.errors
from lipsync_core.errors import LipSyncError, NoVideoError, OptionError, error_classes, error_of, shortened
from lipsync_core.limit_errors import DurationLimitError

_DRAWN = re.compile(
    r"^ {4}(?P<branch>[│├└─ ]*)(?P<name>\w+)(?: +exit (?P<status>\d+))?(?: +(?P<code>[A-Z_]{4,}))?", re.M
)
_STEP = 4  # columns for each generation
Row = tuple[str, str, str, str]  # parent, class, code, exit status where it is the class's own


def drawn(module: ModuleType) -> set[Row]:
    """The tree in the module's docstring; `parents[n]` is the last class drawn in generation n."""
    rows: set[Row] = set()
    parents: list[str] = []
    for found in _DRAWN.finditer(module.__doc__ or ""):
        generation = len(found["branch"]) // _STEP
        parents[generation:] = [found["name"]]
        parent = parents[generation - 1] if generation else ""
        rows.add((parent, found["name"], found["code"] or "", found["status"] or ""))
    return rows


def declared(module: ModuleType) -> set[Row]:
    kinds = [kind for _, kind in inspect.getmembers(module, inspect.isclass) if kind.__module__ == module.__name__]
    return {_row(kind) for kind in kinds if issubclass(kind, LipSyncError)}


def _row(kind: type[LipSyncError]) -> Row:
    parent = kind.__base__
    own = str(kind.exit_status) if "exit_status" in vars(kind) else ""
    return ("" if kind is LipSyncError or parent is None else parent.__name__, kind.__name__, kind.code, own)


def test_the_tree_of_the_core_is_drawn_as_it_is() -> None:
    assert drawn(lipsync_core.errors) == declared(lipsync_core.errors)


def test_the_tree_of_the_service_is_drawn_as_it_is() -> None:
    roots = {
        ("", "LipSyncError", "", ""),
        ("LipSyncError", "OptionError", "BAD_OPTION", "2"),
        ("LipSyncError", "TransientError", "TRANSIENT", "75"),
    }  # of the core, drawn again for their children
    assert roots <= drawn(lipsync_service.errors)
    assert drawn(lipsync_service.errors) - roots == declared(lipsync_service.errors)


@pytest.mark.parametrize(
    ("drawing", "row"),
    [
        ("    ├── FaceError                     exit 4   NO_FACE", ("LipSyncError", "FaceError", "NO_FACE", "4")),
        ("    │   └── NoAudioError                       NO_AUDIO", ("FaceError", "NoAudioError", "NO_AUDIO", "")),
    ],
)
def test_a_drawn_line_is_read(drawing: str, row: Row) -> None:
    module = ModuleType("sample", f"\n    LipSyncError\n    ├── FaceError   exit 4   NO_FACE\n{drawing}\n")
    assert row in drawn(module)


def test_every_code_belongs_to_one_class() -> None:
    codes = [kind.code for kind in error_classes()]
    assert len(codes) == len(set(codes))


@pytest.mark.parametrize("kind", [LipSyncError, NoVideoError, DurationLimitError])
def test_a_code_gives_its_class_again(kind: type[LipSyncError]) -> None:
    assert type(error_of(kind.code, "it failed")) is kind


def test_a_code_of_another_version_stays_in_the_message() -> None:
    error = error_of("FROM_ANOTHER_VERSION", "it failed", "wait")
    assert (type(error), str(error)) == (LipSyncError, "FROM_ANOTHER_VERSION: it failed; wait")


@pytest.mark.parametrize("value", ["x" * 3_000_000, "a b " * 1_000_000, "\n" * 10**6], ids=["word", "words", "lines"])
def test_a_message_repeats_no_megabytes_of_the_callers_text(value: str) -> None:
    error = OptionError(f"the file has no video track {value!r}", f"choose another than {value}")
    assert error.message.startswith("the file has no video track '") and error.message.endswith("'")
    assert len(error.message) <= 150 and len(str(error)) <= 1200
    assert error.args == (error.message,)
    assert type(error)(error.message).message == error.message  # it is cut once


def test_a_message_keeps_addresses_and_paths_of_the_usual_length() -> None:
    text = f"s3://bucket/{'folder/' * 20}{'0' * 64}.mp4 is not there, and {'some words ' * 40}"
    assert shortened(text) == text
