"""Opens the service for the commands that talk to it."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from lipsync_cli.extra import service_extra, service_settings

if TYPE_CHECKING:
    from lipsync_service.client.job_client import JobClient
    from lipsync_service.client.local_files import FileExchange

_DEFAULT_FILE = Path(".lipsync") / "service.env"
_Command = TypeVar("_Command", bound=Callable[..., Any])


@dataclass(frozen=True, slots=True)
class Service:
    """The client of the service, and the exchange of files with it."""

    client: "JobClient"
    files: "FileExchange"


def service_option(command: _Command) -> _Command:
    """Give a command the parameter `service_file`."""
    option = click.option(
        "--service",
        "service_file",
        type=click.Path(path_type=Path, exists=True, dir_okay=False),
        envvar="LIPSYNC_SERVICE",
        metavar="FILE",
        show_default=str(_DEFAULT_FILE),
        help="Where the service is: lines such as LIPSYNC_API_URL=…; the environment wins.  [env: LIPSYNC_SERVICE]",
    )
    return option(command)


@contextmanager
def open_service(command: str, file: Path | None) -> Iterator[Service]:
    """The service that the environment and `file` name; `command` ("lipsync submit") names the caller in messages.

    Raises:
        OptionError: a setting cannot be used, or the extra `service` is not installed.
    """
    with service_extra(command):
        from lipsync_service.client.job_client import open_client
        from lipsync_service.client.local_files import FileExchange
    if file is None and _DEFAULT_FILE.is_file():
        file = _DEFAULT_FILE
    settings = service_settings(command, file)
    with open_client(settings) as client:
        yield Service(client, FileExchange(settings))
