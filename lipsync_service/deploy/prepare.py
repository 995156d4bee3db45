"""Prepares a service for jobs: `python -m lipsync_service.deploy.prepare`, once for each release.

It makes or updates the ledger's schema, the bucket, the work pools and the deployments.
"""

import subprocess
import sys
from contextlib import closing
from urllib.parse import urlsplit

from botocore.exceptions import BotoCoreError, ClientError
from prefect.client.orchestration import get_client

from lipsync_core.errors import LipSyncError
from lipsync_service.deploy.automation import drop_automation
from lipsync_service.deploy.pools import ensure_pools
from lipsync_service.ledger.database import upgrade
from lipsync_service.settings import Settings, load_settings, require_source
from lipsync_service.storage.s3 import s3_client

_DEPLOY_LIMIT_S = 300
_FIRST_REGION = "us-east-1"  # S3 refuses this region as a bucket's location: it is the default
_ABSENT = {"404", "NoSuchBucket", "NotFound"}


def ensure_bucket(settings: Settings) -> None:
    """Make the bucket of `storage_url` unless it exists or the storage is not S3.

    Raises:
        ClientError: the server refuses.
    """
    storage = urlsplit(settings.storage_url)
    if storage.scheme != "s3":
        return
    region = settings.s3_region
    location = {"CreateBucketConfiguration": {"LocationConstraint": region}} if region != _FIRST_REGION else {}
    with closing(s3_client(settings)) as client:
        try:
            client.head_bucket(Bucket=storage.netloc)
        except ClientError as exc:
            if exc.response["Error"]["Code"] not in _ABSENT:
                raise
            client.create_bucket(Bucket=storage.netloc, **location)


def main() -> str | None:
    """Prepare the service of the settings; the failure in one line, or None."""
    try:
        settings = load_settings()
        require_source(settings)
        upgrade(settings.database_url.get_secret_value())
        ensure_bucket(settings)
    except LipSyncError as exc:
        return f"error {exc.code}: {exc}"
    except (BotoCoreError, ClientError) as exc:
        return f"error: the bucket of {settings.storage_url}: {exc}"
    with get_client(sync_client=True) as client:
        ensure_pools(client)
        drop_automation(client)
    command = [sys.executable, "-m", "prefect", "--no-prompt", "deploy", "--all"]
    status = subprocess.run(command, cwd=settings.source, timeout=_DEPLOY_LIMIT_S).returncode  # noqa: S603 - our own command
    return f"error: `prefect deploy --all` ended with status {status}" if status else None


if __name__ == "__main__":
    sys.exit(main())
