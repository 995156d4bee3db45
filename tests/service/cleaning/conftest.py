"""Storages of both kinds in which files are as old as a test says."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from tests.servers import starts_servers
from tests.service.conftest import NOT_INSTALLED, S3Server

pytest.importorskip("pydantic_settings", reason=NOT_INSTALLED)
pytest.importorskip("boto3", reason=NOT_INSTALLED)

from lipsync_service.settings import Settings
from lipsync_service.storage.shelf import KeptObject, Shelf, Unfinished, shelf_of

MakeSettings = Callable[..., Settings]
KINDS = (pytest.param("s3", marks=starts_servers), "folder")


@dataclass
class AgedShelf:
    """A real storage that says that some files are older than they are; one that is written anew is as old as it is."""

    real: Shelf
    settings: Settings
    ages: dict[str, timedelta] = field(default_factory=dict)

    def put(self, name: str, age: timedelta = timedelta(0), size_bytes: int = 10) -> str:
        self.write(name, b"x" * size_bytes)
        self.ages[name] = age
        return name

    def names(self) -> set[str]:
        return {each.name for each in self.real.objects()}

    def objects(self, folder: str = "") -> Iterator[KeptObject]:
        return (self._aged(each) for each in self.real.objects(folder))

    def find(self, name: str) -> KeptObject | None:
        found = self.real.find(name)
        return None if found is None else self._aged(found)

    def read(self, name: str) -> bytes | None:
        return self.real.read(name)

    def write(self, name: str, content: bytes) -> None:
        self.ages.pop(name, None)
        self.real.write(name, content)

    def remove(self, names: Sequence[str]) -> None:
        self.real.remove(names)

    def unfinished(self) -> Iterator[Unfinished]:
        return self.real.unfinished()

    def abort(self, upload: Unfinished) -> None:
        self.real.abort(upload)

    def _aged(self, found: KeptObject) -> KeptObject:
        return replace(found, changed_at=found.changed_at - self.ages.get(found.name, timedelta(0)))


@pytest.fixture(params=KINDS)
def shelf(request: pytest.FixtureRequest, tmp_path: Path, settings: Callable[..., Any]) -> AgedShelf:
    """An empty storage, on a real S3 server and in a folder."""
    if request.param == "folder":
        chosen = settings(storage_url=(tmp_path / "storage").as_uri())
    else:
        server: S3Server = request.getfixturevalue("s3_server")
        bucket = request.getfixturevalue("bucket")
        keys = {"s3_endpoint": server.endpoint, "s3_access_key": server.access_key, "s3_secret_key": server.secret_key}
        chosen = settings(storage_url=f"s3://{bucket}/work", **keys)
    return AgedShelf(shelf_of(chosen), chosen)
