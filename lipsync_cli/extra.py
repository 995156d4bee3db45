"""Loads the extra `service` for the commands that need it, and names it where it is missing."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from lipsync_core.errors import OptionError

if TYPE_CHECKING:
    from lipsync_service.settings import Settings

_PACKAGES = frozenset(
    (
        "alembic",
        "boto3",
        "botocore",
        "httpx",
        "prefect",
        "psutil",
        "psycopg",
        "pydantic",
        "pydantic_settings",
        "simpy",
        "sqlalchemy",
    )
)


@contextmanager
def service_extra(command: str, remedy: str = "install it with: pip install 'lipsync[service]'") -> Iterator[None]:
    """Guard the imports of a command, such as "lipsync report".

    Raises:
        OptionError: a package of the extra is not installed.
    """
    try:
        yield
    except ModuleNotFoundError as exc:
        if exc.name is None or exc.name.partition(".")[0] not in _PACKAGES:
            raise
        raise OptionError(f"{command} needs the extra 'service'", remedy) from exc


def service_settings(command: str, file: Path | None = None) -> "Settings":
    """The settings of the environment; `file` gives variables that it lacks, as lines NAME=VALUE.

    Raises:
        OptionError: a variable has a value that cannot be used, or the extra is not installed.
    """
    with service_extra(command):
        from lipsync_service.settings import load_settings
    return load_settings(file)
