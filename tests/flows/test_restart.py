"""`make up` and `make down`: what runs is left alone, and data outlives a stop."""

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.flows.conftest import Service


def test_up_again_starts_nothing_and_data_outlives_down_and_up(service: "Service", tmp_path: Path) -> None:
    before = service.processes()
    assert set(before) == {"launcher", "prefect-server", "s3", "worker-lipsync-cpu", "worker-lipsync-gpu"}
    said = service.stack("up")
    assert f"The UI is at {service.layout.ui_url}" in said
    assert service.processes() == before

    note = tmp_path / "note.txt"
    note.write_text("kept")
    service.put(note, "inputs/note.txt")
    deployment = service.api.get("/deployments/name/lipsync/lipsync").json()["id"]
    service.stack("down")
    assert service.processes() == {}
    assert not any(Path(f"/proc/{pid}").exists() for pid in before.values())

    service.stack("up")
    assert service.api.get("/deployments/name/lipsync/lipsync").json()["id"] == deployment
    assert service.get("inputs/note.txt", tmp_path / "again.txt").read_text() == "kept"
