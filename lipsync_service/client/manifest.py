"""A manifest: many requests in one file, a row each, as CSV with a header or as JSON lines."""

import csv
import json
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import islice
from pathlib import Path

from pydantic import ValidationError

from lipsync_core.errors import InputError
from lipsync_core.limit_errors import ManifestLimitError
from lipsync_core.limits import limits
from lipsync_core.shown_text import printable
from lipsync_service.client.local_files import LocalFiles, split_local
from lipsync_service.client.request import LipSyncRequest

_SPLIT = "split it into several"
_METADATA = "metadata."  # the prefix of the columns of a CSV that hold labels
_MOST_FIELDS = len(LipSyncRequest.model_fields) + 32  # with a column for each label
_MOST_CHARS = 1 << 20  # of a row: twice what a request can have, with every character escaped
_Fields = Callable[[], object]  # the value of a row, which is parsed when it is asked for


@dataclass(frozen=True, slots=True)
class _Fault:
    """The reason for which a line holds no fields."""

    text: str


class _ObjectError(Exception):
    """The fault of an object of JSON: too many fields, or one twice, of which a reader would silently take the last."""


@dataclass(frozen=True, slots=True)
class ManifestRow:
    """One row: a request, or its faults."""

    number: int  # of its line, from 1, the header of a CSV included
    request: LipSyncRequest | None
    faults: tuple[str, ...]  # "field: fault"; without values, since addresses may hold signatures
    local: LocalFiles = field(default_factory=LocalFiles)  # its files on this machine


def read_manifest(path: Path, suffix: str | None = None, folder: Path | None = None) -> tuple[ManifestRow, ...]:
    """All rows of a manifest, good and bad; empty lines and empty cells are left out.

    Args:
        path: the file, in UTF-8.
        suffix: ".csv" or ".jsonl", where the file's name has another ending.
        folder: that relative paths count from; None: rows may name no files of this machine.

    Raises:
        InputError: the file cannot be read, is neither of the two, or holds no row.
        ManifestLimitError: it has too many bytes or rows, or a row too many characters.
    """
    readers = {".csv": _csv_rows, ".jsonl": _json_rows}
    reader = readers.get((suffix or path.suffix).lower())
    if reader is None:
        raise InputError(f"{path.name} is no manifest", "name it .csv or .jsonl")
    most = limits()
    try:
        if not path.is_file() and path.exists():  # a pipe without a writer would wait for ever
            raise InputError(f"the manifest {path.name} is no regular file")
        if path.stat().st_size > most.max_manifest_bytes:
            raise ManifestLimitError(f"the manifest {path.name} has more than {most.max_manifest_bytes} bytes", _SPLIT)
        count = sum(1 for _ in islice(reader(path), most.max_manifest_rows + 1))
        if not count:
            raise InputError(f"the manifest {path.name} holds no row")
        if count > most.max_manifest_rows:
            raise ManifestLimitError(f"the manifest {path.name} has more than {most.max_manifest_rows} rows", _SPLIT)
    except (OSError, UnicodeDecodeError, csv.Error) as exc:
        raise InputError(f"the manifest {path.name} cannot be read: {exc}") from exc
    return tuple(_row(number, fields(), folder) for number, fields in reader(path))


class _Lines:
    """The lines of a manifest; a row of CSV may take several."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._chars = 0  # of the present row

    def __iter__(self) -> Iterator[str]:
        """Raises ManifestLimitError where the present row gets too long."""
        with self._path.open(encoding="utf-8-sig") as file:
            for number, line in enumerate(iter(partial(file.readline, _MOST_CHARS + 1), ""), 1):
                self._chars += len(line)
                if self._chars > _MOST_CHARS:
                    name = f"line {number} of the manifest {self._path.name}"
                    message = f"{name} makes a row of more than {_MOST_CHARS} characters"
                    raise ManifestLimitError(message, "give each request a row of its own")
                yield line

    def begin_row(self) -> None:
        """Count the next line as the first of a row."""
        self._chars = 0


def _json_rows(path: Path) -> Iterator[tuple[int, _Fields]]:
    """Each row's line number and value."""
    lines = _Lines(path)
    for number, line in enumerate(lines, 1):
        lines.begin_row()
        if line.strip():
            yield number, partial(_json_fields, line.rstrip("\n"))


def _json_fields(line: str) -> object:
    """The value of a line; a fault where it is no JSON."""
    try:
        return json.loads(line, object_pairs_hook=_fields)
    except _ObjectError as exc:
        return _Fault(f"row: {exc}")
    except json.JSONDecodeError as exc:
        return _Fault(f"row: it is no JSON: {exc.msg} at column {exc.colno}")
    except (ValueError, RecursionError):  # a number of thousands of digits; thousands of brackets
        return _Fault("row: it is no JSON that a request could be: too deep, or a number too long")


def _fields(pairs: list[tuple[str, object]]) -> dict[str, object]:
    if len(pairs) > _MOST_FIELDS:
        raise _ObjectError(f"it has {len(pairs)} fields, more than a request can have")
    twice = _first_twice([name for name, _ in pairs])
    if twice is not None:
        raise _ObjectError(f"it has the field {_shown(twice)!r} more than once")
    return dict(pairs)


def _csv_rows(path: Path) -> Iterator[tuple[int, _Fields]]:
    """Each row's line number and value. Raises csv.Error where the header, or the form of a row, cannot be used."""
    lines = _Lines(path)
    reader = csv.reader(lines, strict=True)
    columns = next((cells for cells in reader if cells), [])
    named = [name for name in columns if name]
    if len(named) > _MOST_FIELDS:
        raise csv.Error(f"it has {len(named)} columns, more than a request can have fields")
    twice = _first_twice(named)
    if twice is not None:
        raise csv.Error(f"it has the column {_shown(twice)!r} more than once")
    lines.begin_row()
    for cells in reader:
        lines.begin_row()
        if any(cells):
            yield reader.line_num, partial(_csv_fields, columns, cells)


def _csv_fields(columns: list[str], cells: list[str]) -> object:
    """The fields of a row; a fault where it has cells without a column."""
    if any(cells[len(columns) :]):
        return _Fault("row: it has more cells than the header")
    given = {name: cell for name, cell in zip(columns, cells, strict=False) if cell}
    labels = {name.removeprefix(_METADATA): given.pop(name) for name in list(given) if name.startswith(_METADATA)}
    return given | ({"metadata": labels} if labels else {})


def _first_twice(names: list[str]) -> str | None:
    return next((name for name, count in Counter(names).items() if count > 1), None)


def _row(number: int, fields: object, folder: Path | None) -> ManifestRow:
    if isinstance(fields, _Fault):
        return ManifestRow(number, None, (fields.text,))
    local = LocalFiles()
    if folder is not None and isinstance(fields, dict):
        fields, local = split_local(fields, folder)
    try:
        row = ManifestRow(number, LipSyncRequest.model_validate(fields), (), local)
    except ValidationError as exc:
        row = ManifestRow(number, None, faults_of(exc), local)
    told = {fault.partition(":")[0] for fault in row.faults}
    tracks = (row.request.video_track, row.request.audio_track) if row.request else (None, None)
    wrong = tuple(f"{name}: {error.message}" for name, error in local.faults(*tracks).items() if name not in told)
    return replace(row, request=None, faults=row.faults + wrong) if wrong else row


def faults_of(error: ValidationError) -> tuple[str, ...]:
    """The faults of a request, in the form of `ManifestRow.faults`."""
    found = error.errors(include_url=False, include_input=False)
    return tuple(
        f"{'.'.join(map(_shown, fault['loc'])) or 'row'}: {fault['msg'].removeprefix('Value error, ')}"
        for fault in found
    )


def _shown(name: int | str) -> str:
    """The name of a field, which may be anything."""
    return printable(str(name), 80)
