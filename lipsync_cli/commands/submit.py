"""`lipsync submit`: one job for the service, from files of this machine or from addresses."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from lipsync_cli.commands.waiting import conclude, say, take_up_line, wait_for_job
from lipsync_cli.environment import service_option
from lipsync_cli.extra import service_extra
from lipsync_cli.failures import write_stdout
from lipsync_cli.job_options import job_option
from lipsync_cli.progress.steps import shown_steps, transfer_step
from lipsync_cli.render.job_table import job_fields, render_json
from lipsync_cli.service import Service, open_service
from lipsync_cli.signals import remaining
from lipsync_core.choices import listed
from lipsync_core.errors import LipSyncError, OptionError
from lipsync_core.option_specs import MODELS
from lipsync_service.names import INTERACTIVE, QUEUES

if TYPE_CHECKING:
    from lipsync_service.client.job_client import Submission
    from lipsync_service.client.local_files import LocalFiles
    from lipsync_service.client.request import LipSyncRequest

_COMMAND = "lipsync submit"


class Labels(click.ParamType[tuple[str, str]]):
    """NAME=VALUE."""

    name = "NAME=VALUE"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> tuple[str, str]:
        """The name and the value."""
        name, sign, text = str(value).partition("=")
        if not name or not sign:
            self.fail(f"{str(value)!r} is not NAME=VALUE", param, ctx)
        return name, text


@click.command(
    epilog="The exit status is the job's: the one that `lipsync run` gives for the same failure. "
    "Where nothing is waited for, standard output holds the job's id and nothing else."
)
@click.argument("video")
@click.argument("audio")
@click.option("-o", "--output", required=True, metavar="OUT", help="Where the result goes: a file or an address.")
@job_option("model", help=f"{listed(MODELS)}.")
@job_option("length")
@job_option("extend")
@job_option("face")
@job_option("expression")
@job_option("enhance_quality", help="Restore the new mouth with GFPGAN, at several times the cost.")
@job_option("encoder")
@job_option("codec")
@job_option("keep_depth")
@job_option("pix_fmt")
@job_option("max_size")
@job_option("crf")
@job_option("deinterlace")
@job_option("fps")
@job_option("audio_codec")
@job_option("video_track")
@job_option("audio_track")
@job_option("provenance")
@job_option("min_synced")
@job_option("min_score")
@click.option("--strict", is_flag=True, help="Stop before the work where the preflight warns: PREFLIGHT_WARNING.")
@click.option(
    "--priority",
    type=click.Choice(tuple(QUEUES)),
    default=INTERACTIVE,
    help="bulk jobs run when no interactive one waits.",
)
@click.option(
    "--callback-url", metavar="URL", help="Told, signed, when the job has completed, failed or been cancelled."
)
@click.option("--metadata", type=Labels(), multiple=True, help="A label that is kept with the job; may be repeated.")
@click.option(
    "--key",
    "idempotency_key",
    metavar="KEY",
    help="The same key and request is the same job; with another request it is refused.",
)
@click.option("--tenant", metavar="NAME", help="Whose job it is, on a service that has tenants.")
@click.option(
    "--wait/--no-wait",
    "is_waiting",
    default=None,
    show_default="--wait where OUT is a file, --no-wait where it is an address",
    help="Stay until the job has ended, and show how far it is.",
)
@click.option("--json", "as_json", is_flag=True, help="Write the job to standard output as one JSON object.")
@click.option("--quiet", "-q", is_flag=True, help="No progress and no report.")
@service_option
def submit(
    service_file: Path | None, is_waiting: bool | None, as_json: bool, quiet: bool, metadata: Any, **fields: Any
) -> None:
    """Have the service make the face in VIDEO speak AUDIO.

    VIDEO and AUDIO are files of this machine, which are sent to the service's own storage unless it has them,
    or addresses that the service opens: s3://, https://, http:// or file://. OUT is a file of this machine, which
    the result is brought to, or an address: s3://, file:// or one that is presigned for PUT.

    \b
    lipsync submit face.mp4 speech.wav -o out.mp4
    lipsync submit s3://in/face.mp4 s3://in/speech.wav -o s3://out/face.mp4 --key order-17
    """
    with open_service(_COMMAND, service_file) as service:
        request, local = _request({**fields, "metadata": dict(metadata)})
        with remaining("nothing was submitted"):
            addressed = _addressed(service, request, local, quiet)
        with remaining("whether the job was submitted is not certain; see: lipsync jobs list"):
            submission = service.client.submit(addressed, name=local.output.stem if local.output else None)
        state = "submitted" if submission.is_new else "was submitted before"
        if is_waiting is False or (is_waiting is None and local.output is None):
            take_up = take_up_line(submission.job_id, local.output)
            say(f"job {submission.job_id} {state}; to wait for it: {take_up}", quiet)
            _write_id(service, submission, as_json)
            return
        say(f"job {submission.job_id} {state}", quiet)
        ended = wait_for_job(service, submission.job_id, local.output, quiet)
    if ended.job.error is not None:
        ended = replace(ended, job=replace(ended.job, error=_by_name(ended.job.error, addressed, local)))
    conclude(ended, local.output, as_json, quiet, submission.is_new)


def _request(fields: Mapping[str, Any]) -> tuple["LipSyncRequest", "LocalFiles"]:
    """The request, and those of its files that lie on this machine.

    Raises:
        OptionError: a field cannot be used.
        LipSyncError: a file of this machine cannot be used; the same error as from `lipsync run`.
    """
    with service_extra(_COMMAND):
        from pydantic import ValidationError

        from lipsync_service.client.local_files import split_local
        from lipsync_service.client.manifest import faults_of
        from lipsync_service.client.request import LipSyncRequest
    addresses, local = split_local(fields, Path())
    for error in local.faults(fields.get("video_track"), fields.get("audio_track")).values():
        raise error
    try:
        return LipSyncRequest.model_validate(addresses), local
    except ValidationError as exc:
        faults = [fault.removeprefix("row: ") for fault in faults_of(exc)]  # a manifest's word for a whole request
        raise OptionError("; ".join(faults), f"see: {_COMMAND} --help") from exc


def _addressed(service: Service, request: "LipSyncRequest", local: "LocalFiles", quiet: bool) -> "LipSyncRequest":
    """The request with addresses for this machine's files, after these files were sent to the service."""
    addressed = service.files.addressed(request, local)
    with shown_steps(quiet) as show:
        service.send(addressed, local, lambda path, progress: show(transfer_step(path, progress)))
    return addressed


def _by_name(error: LipSyncError, addressed: "LipSyncRequest", local: "LocalFiles") -> LipSyncError:
    """`error` with the names of this machine's files in place of the addresses that they were sent to."""
    message = error.message
    for name in ("video", "audio", "output"):
        path = getattr(local, name)
        if path is not None:
            message = message.replace(getattr(addressed, name), str(path))
    return type(error)(message, error.remedy)


def _write_id(service: Service, submission: "Submission", as_json: bool) -> None:
    if as_json:
        fields = job_fields(service.client.job(submission.job_id))
        write_stdout(render_json({**fields, "is_new": submission.is_new}))
    else:
        write_stdout(str(submission.job_id))
