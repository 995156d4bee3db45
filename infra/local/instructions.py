"""What `up` prints at its end: the commands that start a job on this stack, as they can be typed."""

import json
import shlex
import sys
from dataclasses import dataclass
from pathlib import Path

from infra.local.layout import BUCKET, Layout
from lipsync_service.names import JOB_DEPLOYMENT
from lipsync_service.settings import Settings


@dataclass(frozen=True, slots=True)
class CallerFiles:
    """The files that `client_env` writes for callers."""

    client_env: Path
    curl: Path | None  # with the name and the password, where the server asks for them


def how_to_use(layout: Layout, files: CallerFiles, settings: Settings) -> str:
    """The addresses of the stack, and a job from files of this machine and from files in S3.

    On a stack with tenants the jobs are the first one's, in the parts of S3 that it may use.
    """
    tenant = next(iter(settings.tenants), None)
    return (
        f"\nThe UI is at {layout.ui_url}; S3 is at {layout.s3_url}, "
        f"its keys are in {_argument(layout.s3_keys)}.\n"
        f"A job from files of this machine:\n\n  {_submit(files.client_env, tenant)}\n\n"
        f"{_over_rest(layout, files.curl, settings, tenant)}\n"
    )


def _submit(client_env: Path, tenant: str | None) -> str:
    is_default = client_env == Path.cwd() / ".lipsync" / client_env.name  # the command finds this file by itself
    service = "" if is_default else f" --service {_argument(client_env)}"
    command = _argument(Path(sys.executable).with_name("lipsync"))
    return f"{command} submit face.mp4 speech.wav -o out.mp4{f' --tenant {tenant}' if tenant else ''}{service}"


def _over_rest(layout: Layout, curl_file: Path | None, settings: Settings, tenant: str | None) -> str:
    inputs, outputs = f"s3://{BUCKET}/inputs", f"s3://{BUCKET}/outputs"
    if tenant is not None:
        reach = settings.tenants[tenant]
        inputs, outputs = (
            next((each.rstrip("/") for each in prefixes if each.startswith("s3://")), "")
            for prefixes in (reach.read, reach.write)
        )
        if not (inputs and outputs):
            return f"LIPSYNC_TENANTS names no place in S3 that the tenant {tenant} may read, and one that it may write."
    request = {"video": f"{inputs}/face.mp4", "audio": f"{inputs}/speech.wav", "output": f"{outputs}/face.mp4"}
    body = json.dumps({"parameters": {"request": {**request, **({"tenant": tenant} if tenant else {})}}})
    curl = "curl -s" + (f" -K {_argument(curl_file)}" if curl_file else "")
    return (
        f"The same over REST, from files in S3:\n\n"
        f'  id=$({curl} {layout.api_url}/deployments/name/{JOB_DEPLOYMENT} | sed \'s/^{{"id":"\\([^"]*\\)".*/\\1/\')\n'
        f"  {curl} {layout.api_url}/deployments/$id/create_flow_run -H 'Content-Type: application/json' \\\n"
        f"    -d {shlex.quote(body)}"
    )


def _argument(path: Path) -> str:
    """The path as a shell's argument, relative if it lies below the present folder."""
    return shlex.quote(str(path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path))
