"""A manifest: many requests in one file, a row each, as CSV with a header or as JSON lines."""

import csv
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from pydantic import ValidationError

from flows.request import LipSyncRequest
from lipsync_core.errors import InputError

_METADATA = "metadata."  # how the columns of a CSV begin that hold labels


@dataclass(frozen=True, slots=True)
class ManifestRow:
    """One row: a request, or what is wrong with it."""

    number: int  # of its line, from 1, the header of a CSV included
    request: LipSyncRequest | None
    faults: tuple[str, ...]  # "field: what is wrong"; values are not quoted, addresses may hold signatures

    @property
    def key(self) -> str:
        """The row's idempotency key, or one made of everything that it asks for.

        Raises:
            ValueError: the row holds no request.
        """
        if self.request is None:
            raise ValueError(f"row {self.number} holds no request")
        return self.request.idempotency_key or self.request.digest


def read_manifest(path: Path, suffix: str | None = None) -> tuple[ManifestRow, ...]:
    """All rows of a manifest, good and bad; empty lines and empty cells are left out.

    Args:
        path: the file, in UTF-8.
        suffix: ".csv" or ".jsonl", where the file's own name does not say.

    Raises:
        InputError: the file cannot be read, is neither of the two, or holds no row.
    """
    readers = {".csv": _csv_rows, ".jsonl": _json_rows}
    reader = readers.get((suffix or path.suffix).lower())
    if reader is None:
        raise InputError(f"{path.name} is no manifest", "name it .csv or .jsonl")
    try:
        rows = tuple(reader(path.read_text(encoding="utf-8-sig")))
    except (OSError, UnicodeDecodeError) as exc:
        raise InputError(f"the manifest {path.name} cannot be read: {exc}") from exc
    if not rows:
        raise InputError(f"the manifest {path.name} holds no row")
    return rows


def _json_rows(text: str) -> Iterator[ManifestRow]:
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip():
            continue
        try:
            yield _row(number, json.loads(line))
        except json.JSONDecodeError as exc:
            yield ManifestRow(number, None, (f"row: it is no JSON: {exc.msg} at column {exc.colno}",))


def _csv_rows(text: str) -> Iterator[ManifestRow]:
    reader = csv.DictReader(text.splitlines(), restkey="", strict=False)
    for cells in reader:
        if "" in cells:
            yield ManifestRow(reader.line_num, None, ("row: it has more cells than the header",))
            continue
        given = {name: cell for name, cell in cells.items() if cell}
        labels = {name.removeprefix(_METADATA): given.pop(name) for name in list(given) if name.startswith(_METADATA)}
        if given or labels:
            yield _row(reader.line_num, given | ({"metadata": labels} if labels else {}))


def _row(number: int, fields: object) -> ManifestRow:
    try:
        return ManifestRow(number, LipSyncRequest.model_validate(fields), ())
    except ValidationError as exc:
        faults = (f"{'.'.join(map(str, fault['loc'])) or 'row'}: {fault['msg']}" for fault in exc.errors())
        return ManifestRow(number, None, tuple(faults))
