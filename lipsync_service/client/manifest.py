"""A manifest: many requests in one file, a row each, as CSV with a header or as JSON lines."""

import csv
import io
import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from itertools import islice
from pathlib import Path

from pydantic import ValidationError

from lipsync_core.errors import InputError
from lipsync_core.limit_errors import ManifestLimitError
from lipsync_core.limits import limits
from lipsync_service.client.local_files import LocalFiles, split_local
from lipsync_service.client.request import LipSyncRequest

_SPLIT = "split it into several"
_METADATA = "metadata."  # the prefix of the columns of a CSV that hold labels


@dataclass(frozen=True, slots=True)
class _Fault:
    """The reason for which a line holds no fields."""

    text: str


class _TwiceError(Exception):
    """A field that an object of JSON has twice, of which a reader would silently take the last."""


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
        ManifestLimitError: it has too many bytes or rows.
    """
    readers = {".csv": _csv_fields, ".jsonl": _json_fields}
    reader = readers.get((suffix or path.suffix).lower())
    if reader is None:
        raise InputError(f"{path.name} is no manifest", "name it .csv or .jsonl")
    most = limits()
    try:
        if not path.is_file() and path.exists():  # a pipe without a writer would wait for ever
            raise InputError(f"the manifest {path.name} is no regular file")
        if path.stat().st_size > most.max_manifest_bytes:
            raise ManifestLimitError(f"the manifest {path.name} has more than {most.max_manifest_bytes} bytes", _SPLIT)
        lines = tuple(islice(reader(path.read_text(encoding="utf-8-sig")), most.max_manifest_rows + 1))
    except (OSError, UnicodeDecodeError, csv.Error) as exc:
        raise InputError(f"the manifest {path.name} cannot be read: {exc}") from exc
    if not lines:
        raise InputError(f"the manifest {path.name} holds no row")
    if len(lines) > most.max_manifest_rows:
        raise ManifestLimitError(f"the manifest {path.name} has more than {most.max_manifest_rows} rows", _SPLIT)
    return tuple(_row(number, fields, folder) for number, fields in lines)


def _json_fields(text: str) -> Iterator[tuple[int, object]]:
    """Each row's line number and value; a fault where the line is no JSON."""
    for number, line in enumerate(text.split("\n"), 1):
        if not line.strip():
            continue
        try:
            yield number, json.loads(line, object_pairs_hook=_fields)
        except _TwiceError as exc:
            yield number, _Fault(f"row: it has the field {exc} more than once")
        except json.JSONDecodeError as exc:
            yield number, _Fault(f"row: it is no JSON: {exc.msg} at column {exc.colno}")
        except (ValueError, RecursionError):  # a number of thousands of digits; thousands of brackets
            yield number, _Fault("row: it is no JSON that a request could be: too deep, or a number too long")


def _fields(pairs: list[tuple[str, object]]) -> dict[str, object]:
    found = dict(pairs)
    if len(found) < len(pairs):
        names = [name for name, _ in pairs]
        raise _TwiceError(repr(next(name for name in names if names.count(name) > 1)))
    return found


def _csv_fields(text: str) -> Iterator[tuple[int, object]]:
    reader = csv.DictReader(io.StringIO(text, newline=""), restkey="", strict=True)
    twice = [name for name, count in Counter(reader.fieldnames or ()).items() if name and count > 1]
    if twice:
        raise csv.Error(f"it has the column {twice[0]!r} more than once")
    for cells in reader:
        if "" in cells:
            yield reader.line_num, _Fault("row: it has more cells than the header")
            continue
        given = {name: cell for name, cell in cells.items() if cell}
        labels = {name.removeprefix(_METADATA): given.pop(name) for name in list(given) if name.startswith(_METADATA)}
        if given or labels:
            yield reader.line_num, given | ({"metadata": labels} if labels else {})


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
    return "".join(each if each.isprintable() else "\N{REPLACEMENT CHARACTER}" for each in str(name)[:80])
