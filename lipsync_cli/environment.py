"""The environment variables of the command itself, with the options that they replace.

The variables of the service are the fields of `lipsync_service.settings.Settings`.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import click

from lipsync_cli.job_options import job_option
from lipsync_cli.ledger import OWN
from lipsync_core.provenance.settings import SigningSettings

#: Where `make up` in the present folder writes the addresses of its service.
SERVICE_FILE = Path(".lipsync") / "service.env"

home_option = click.option(
    "--home",
    type=click.Path(path_type=Path, file_okay=False),
    envvar="LIPSYNC_HOME",
    metavar="DIR",
    help="Folder of models and cached face tracks, instead of the user's own.  [env: LIPSYNC_HOME]",
)
ledger_option = click.option(
    "--ledger",
    metavar="URL",
    envvar="LIPSYNC_LEDGER",
    help=f"Enter the job in this ledger, or in the one that lipsync report reads: {OWN}.  [env: LIPSYNC_LEDGER]",
)
model_server_option = job_option("model_server", metavar="URL", envvar="LIPSYNC_MODEL_SERVER", show_envvar=True)
model_server_wait_option = job_option(
    "model_server_wait_s",
    type=float,
    metavar="SECONDS",
    envvar="LIPSYNC_MODEL_SERVER_WAIT_S",
    show_default="120 while it is down, 600 while its queue is full",
    show_envvar=True,
)
service_option = click.option(
    "--service",
    "service_file",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    envvar="LIPSYNC_SERVICE",
    metavar="FILE",
    show_default=str(SERVICE_FILE),
    help="Where the service is: lines such as LIPSYNC_API_URL=…; the environment wins.  [env: LIPSYNC_SERVICE]",
)

cores_option = click.option(
    "--threads",
    type=click.IntRange(1, 1024),
    envvar="LIPSYNC_CORES",
    metavar="N",
    show_default="one for each core",
    help="The threads of each codec and network, where other jobs share this machine.  [env: LIPSYNC_CORES]",
)

isolate_option = click.option(
    "--isolate",
    is_flag=True,
    envvar="LIPSYNC_ISOLATE",
    help="Decode in processes that can reach nothing else: for files of people whom nobody knows.  "
    "[env: LIPSYNC_ISOLATE]",
)


def start_no_blas_threads() -> None:
    """Have OpenBLAS, which is not loaded yet, start no threads of its own.

    A job uses none. They would spin for some 30 ms each when NumPy is imported, and again after each fork.
    """
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")


def signing_settings() -> SigningSettings:
    """Who signs movies: the certificate, the key and the time stamp server of the environment."""
    certificate = os.environ.get("LIPSYNC_SIGNING_CERTIFICATE")
    return SigningSettings(
        certificate=Path(certificate) if certificate else None,
        key=os.environ.get("LIPSYNC_SIGNING_KEY") or None,
        timestamp_url=os.environ.get("LIPSYNC_SIGNING_TIMESTAMP_URL") or None,
    )


def is_service_named() -> bool:
    """Whether the environment or `make up` in the present folder says where the service is."""
    return "LIPSYNC_API_URL" in os.environ or SERVICE_FILE.is_file()


def is_debug() -> bool:
    """LIPSYNC_DEBUG is set, and not to 0."""
    return os.environ.get("LIPSYNC_DEBUG", "0") not in ("", "0")


@contextmanager
def rules_of_reading() -> Iterator[None]:
    """Put the limits and the allowed formats of the environment in force for the block.

    Raises:
        OptionError: a variable holds something else.
    """
    from lipsync_core.limits import limited, limits_of
    from lipsync_core.media.allowed import Allowed, allowing

    more = (os.environ.get(name, "") for name in ("LIPSYNC_ALLOW_DEMUXERS", "LIPSYNC_ALLOW_DECODERS"))
    with limited(limits_of(os.environ)), allowing(Allowed().with_more(*more)):
        yield
