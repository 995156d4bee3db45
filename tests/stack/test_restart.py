"""`make up` and `make down`: running parts are left alone, and data outlives a stop."""

from pathlib import Path
from typing import TYPE_CHECKING

from tests.thorough import thorough

if TYPE_CHECKING:
    from tests.stack.conftest import Service


def is_working(pid: int) -> bool:
    """The process exists and is no zombie (proc(5), state Z)."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text(encoding="ascii", errors="replace")
    except FileNotFoundError:
        return False
    return stat.rpartition(")")[2].split()[0] != "Z"


@thorough
def test_up_again_starts_nothing_and_data_outlives_down_and_up(service: "Service", tmp_path: Path) -> None:
    before = service.processes()
    assert set(before) == {"launcher", "prefect-server", "s3", "watcher", "worker-lipsync-cpu", "worker-lipsync-gpu"}
    said = service.stack("up")
    assert f"The UI is at {service.layout.ui_url}" in said
    assert service.processes() == before

    note = tmp_path / "note.txt"
    note.write_text("kept")
    service.put(note, "inputs/note.txt")
    deployment = service.api.get("/deployments/name/lipsync/lipsync").json()["id"]
    service.stack("down")
    known, working = service.processes(), [pid for pid in before.values() if is_working(pid)]

    service.stack("up")  # before any assertion: other tests use the stack too
    assert (known, working) == ({}, [])
    assert service.api.get("/deployments/name/lipsync/lipsync").json()["id"] == deployment
    assert service.get("inputs/note.txt", tmp_path / "again.txt").read_text() == "kept"


@thorough
def test_deployments_are_registered_again_only_where_one_is_missing_or_the_code_has_changed(
    service: "Service",
) -> None:
    def found() -> tuple[str, str]:
        answer = service.api.get("/deployments/name/lipsync-bulk/lipsync-bulk").raise_for_status().json()
        return answer["id"], answer["updated"]

    before = found()
    service.stack("up")
    assert found() == before
    service.api.delete(f"/deployments/{before[0]}").raise_for_status()
    service.stack("up")
    missing = found()
    assert missing[0] != before[0]
    service.api.patch("/variables/name/lipsync_deployed", json={"value": "of other code"}).raise_for_status()
    service.stack("up")
    assert found()[1] > missing[1]
