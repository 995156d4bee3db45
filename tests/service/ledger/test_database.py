from pathlib import Path

import pytest

pytest.importorskip("sqlalchemy", reason="the extra service is not installed")

from sqlalchemy import text
from sqlalchemy.exc import IntegrityError

from lipsync_service.errors import LedgerUnavailableError
from lipsync_service.ledger.database import downgrade, open_engine, reading, reason_of, upgrade, writing


@pytest.fixture
def url(tmp_path: Path) -> str:
    """An SQLite file without any table."""
    return f"sqlite:///{tmp_path / 'ledger.sqlite'}"


@pytest.mark.parametrize(("opened", "said"), [(reading, "cannot be read"), (writing, "cannot be written")])
def test_a_failure_of_the_database_is_ours_with_the_drivers_first_line(opened: object, said: str, url: str) -> None:
    with pytest.raises(LedgerUnavailableError) as caught, opened(open_engine(url)) as connection:  # type: ignore[operator]
        connection.execute(text("SELECT id FROM jobs WHERE id = :id"), {"id": "a secret"})
    assert caught.value.message == f"the ledger {said}: no such table: jobs"
    assert caught.value.remedy


def test_a_failed_transaction_leaves_nothing(url: str) -> None:
    engine = open_engine(url)
    with writing(engine) as connection:
        connection.execute(text("CREATE TABLE rows (id INTEGER)"))
    with pytest.raises(ZeroDivisionError), writing(engine) as connection:
        connection.execute(text("INSERT INTO rows VALUES (1)"))
        raise ZeroDivisionError
    with reading(engine) as connection:
        assert connection.execute(text("SELECT count(*) FROM rows")).scalar_one() == 0


@pytest.mark.parametrize("migrate", [upgrade, lambda url: downgrade(url, "base")])
def test_a_migration_fails_when_the_database_cannot_be_opened(migrate: object, tmp_path: Path) -> None:
    (tmp_path / "ledger.sqlite").mkdir()
    with pytest.raises(LedgerUnavailableError, match="cannot be migrated"):
        migrate(f"sqlite:///{tmp_path / 'ledger.sqlite'}")  # type: ignore[operator]


def test_the_reason_of_a_failure_holds_no_row() -> None:
    failure = IntegrityError("INSERT INTO jobs", {"id": "a secret"}, Exception("NOT NULL failed\nDETAIL: a secret"))
    assert reason_of(failure) == "NOT NULL failed"


def test_a_failure_without_words_is_named() -> None:
    assert reason_of(ConnectionResetError()) == "ConnectionResetError"
