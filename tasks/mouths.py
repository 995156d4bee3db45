"""The meter of the mouths of a job's movie, or of a segment of it."""

import logging
from typing import Any

from numpy.typing import NDArray

from lipsync_core.clip_plan import ClipPlan
from lipsync_core.errors import ModelMissingError
from lipsync_core.generators.contract import ModelIdentity
from lipsync_core.generators.viseme.painter import VISEME
from lipsync_core.movie_scorer import closures_of_edits, open_meter, require_scoring
from lipsync_core.score.meter import MouthMeter
from tasks.job import ServiceJob

_log = logging.getLogger(__name__)


def has_curves(model: ModelIdentity) -> bool:
    """Whether the edits of `model` are mouth curves, which say what is to be painted."""
    return model.name == VISEME.name


def open_mouths(job: ServiceJob, plan: ClipPlan, model: ModelIdentity, rows: NDArray[Any] | None) -> MouthMeter | None:
    """The meter of the movie of `plan`; None where this machine has no face mesh.

    `rows` are the edits of the synced frames, where they are in one file.

    Raises:
        ModelMissingError: a model that measures is not installed, and the job asks for a score.
    """
    require_scoring(job.options, job.models, model.name)
    closures = closures_of_edits(plan, rows) if has_curves(model) and rows is not None else None
    try:
        return open_meter(plan, closures, job.models)
    except ModelMissingError as error:
        _log.warning("the mouths are not measured: %s", error.message)
        return None
