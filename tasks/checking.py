"""The preflight of a job in the service: its findings, and the contact sheet that shows them."""

from dataclasses import dataclass

from lipsync_core.errors import ModelMissingError
from lipsync_core.preflight.check import Preflight, check
from lipsync_core.preflight.sheet import ContactSheet
from tasks.job import JobInputs, ServiceJob
from tasks.stage_log import StageMeter


@dataclass(frozen=True, slots=True)
class CheckedInputs:
    """What was found of both inputs."""

    preflight: Preflight
    sheet: ContactSheet | None  # of the frames that were looked at; None: it was not asked for


def check_inputs(
    job: ServiceJob, inputs: JobInputs, meter: StageMeter, is_required: bool, is_shown: bool
) -> CheckedInputs | None:
    """Look at both inputs, and where it `is_shown` keep frames for a contact sheet.

    None where this machine has not the models for it: a worker of the CPU pool needs none for the rest of a job.

    Raises:
        ModelMissingError: the models are not here, and the preflight `is_required`.
    """
    sheet = ContactSheet() if is_shown else None
    try:
        found = check(inputs.video.path, inputs.audio.path, job.options, job.models, meter.clock, sheet)
    except ModelMissingError:
        if is_required:
            raise
        return None
    meter.items = len(found.picture.frames)
    return CheckedInputs(found, sheet)
