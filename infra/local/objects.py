"""The S3 server: SeaweedFS from its wheel, on the loopback, with one pair of keys made at the first start."""

import json
import secrets
import sys
from dataclasses import dataclass
from pathlib import Path

import boto3
from botocore.client import BaseClient
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from infra.local.layout import BUCKET, LOOPBACK, Layout
from infra.local.process import Service, ServiceFolder

NAME = "s3"
_REGION = "us-east-1"
#: Of Go's heap, from which on it collects garbage more often; the server itself sets none. Its buffers alone have
#: 230 MiB, half of them never touched: below that the collector runs all the time and frees nothing.
_MEMORY_LIMIT = "320MiB"


@dataclass(frozen=True, slots=True)
class S3Keys:
    """The pair of keys that permits every operation on the server."""

    access_key: str
    secret_key: str


def start_objects(layout: Layout, services: ServiceFolder, environment: dict[str, str]) -> S3Keys:
    """Start the server unless it runs, and make the bucket unless it exists."""
    _make_keys(layout.s3_keys)
    keys = read_keys(layout.s3_keys)
    layout.objects.mkdir(parents=True, exist_ok=True)
    layout.objects.chmod(0o700)  # customers' files, and the secrets of requests
    client = s3_client(layout, keys)
    limited = {"GOMEMLIMIT": _MEMORY_LIMIT, **environment}
    service = Service(NAME, _command(layout), limited, lambda: _answers(client), port=layout.s3_port)
    services.start(service, layout.root)
    try:
        client.head_bucket(Bucket=BUCKET)
    except ClientError:
        client.create_bucket(Bucket=BUCKET)
    return keys


def s3_client(layout: Layout, keys: S3Keys) -> BaseClient:
    """A client of the server."""
    return boto3.client(
        "s3",
        endpoint_url=layout.s3_url,
        region_name=_REGION,
        aws_access_key_id=keys.access_key,
        aws_secret_access_key=keys.secret_key,
        config=Config(signature_version="s3v4", retries={"total_max_attempts": 1}, connect_timeout=2, read_timeout=10),
    )


def _command(layout: Layout) -> list[str]:
    port = layout.s3_port
    return [
        str(Path(sys.executable).with_name("weed")),
        "server",
        f"-dir={layout.objects}",
        f"-ip={LOOPBACK}",
        f"-ip.bind={LOOPBACK}",
        "-s3",
        f"-s3.port={port}",
        "-s3.port.iceberg=0",
        "-s3.port.lance=0",
        f"-s3.config={layout.s3_keys}",
        f"-master.port={port + 1}",
        "-master.electionTimeout=1s",  # the only voter; by default it waits 10 s for others
        "-master.telemetry=false",
        f"-volume.port={port + 2}",
        "-filer",
        f"-filer.port={port + 3}",
        "-volume.max=64",
        "-volume.preStopSeconds=1",  # no other server would take over its volumes
        "-master.volumeSizeLimitMB=256",
    ]


def read_keys(path: Path) -> S3Keys:
    """The keys in the server's configuration."""
    [identity] = json.loads(path.read_text(encoding="utf-8"))["identities"]
    [pair] = identity["credentials"]
    return S3Keys(pair["accessKey"], pair["secretKey"])


def _make_keys(path: Path) -> None:
    """Write a configuration with new keys unless there is one; only this user may read it."""
    if path.exists():
        return
    credentials = {"accessKey": secrets.token_hex(10), "secretKey": secrets.token_hex(20)}
    actions = ["Admin", "Read", "Write", "List", "Tagging"]
    identity = {"name": "lipsync", "credentials": [credentials], "actions": actions}
    path.touch(mode=0o600)
    path.write_text(json.dumps({"identities": [identity]}), encoding="utf-8")


def _answers(client: BaseClient) -> bool:
    try:
        client.list_buckets()
    except (BotoCoreError, ClientError):
        return False
    return True
