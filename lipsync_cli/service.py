"""Opens the service for the commands that talk to it."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from lipsync_cli.environment import SERVICE_FILE
from lipsync_cli.extra import service_extra, service_settings

if TYPE_CHECKING:
    from lipsync_service.client.job_client import JobClient
    from lipsync_service.client.local_files import FileExchange, FileProgress, LocalFiles
    from lipsync_service.client.request import LipSyncRequest


@dataclass(frozen=True, slots=True)
class Service:
    """The client of the service, and the exchange of files with it."""

    client: "JobClient"
    files: "FileExchange"

    def send(self, request: "LipSyncRequest", local: "LocalFiles", progress: "FileProgress") -> None:
        """Send the files as `FileExchange.send`, to a service that answers: where it is down, so is its storage.

        Raises:
            ServiceDownError: it does not answer.
            OptionError, UrlRefusedError: as `JobClient.require_taken`.
            LipSyncError: as `FileExchange.send`.
        """
        self.files.require_storage(local)
        self.client.require_service()
        self.client.require_taken(request)
        self.files.send(request, local, progress)


@contextmanager
def open_service(command: str, file: Path | None) -> Iterator[Service]:
    """The service that the environment and `file` name; `command` ("lipsync submit") names the caller in messages.

    Raises:
        OptionError: a setting cannot be used, or the extra `service` is not installed.
    """
    with service_extra(command):
        from lipsync_service.client.job_client import open_client
        from lipsync_service.client.local_files import FileExchange
    if file is None and SERVICE_FILE.is_file():
        file = SERVICE_FILE
    settings = service_settings(command, file)
    with open_client(settings) as client:
        yield Service(client, FileExchange(settings))
