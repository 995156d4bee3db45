"""Models, trackers and blenders by the names that a user gives, and what `auto` means.

What only some jobs need is imported here by those alone: ONNX Runtime costs 45 MB and .15 s.
"""

from dataclasses import dataclass

from lipsync_core.blend.contract import Blender
from lipsync_core.blend.feather import FeatherBlender
from lipsync_core.blend.poisson import PoissonBlender
from lipsync_core.clock import StageClock
from lipsync_core.enhance.contract import Enhancer
from lipsync_core.errors import LicenceError, ModelCorruptError, ModelError, ModelMissingError, OptionError
from lipsync_core.execution import Execution, OpeningProvider
from lipsync_core.face.mediapipe import MediapipeTracker
from lipsync_core.face.track import FaceTracker
from lipsync_core.generators.contract import Generator
from lipsync_core.generators.viseme.generator import VisemeGenerator
from lipsync_core.models.registry import NETWORK
from lipsync_core.models.store import ModelStore
from lipsync_core.options import Blend, JobOptions
from lipsync_core.providers import choose_provider

#: With weights, the best first; `wav2lip-gan` draws the sharper mouths.
NEURAL_MODELS = ("wav2lip-gan", "wav2lip")
MODELS = ("auto", "viseme", *NEURAL_MODELS)
TRACKERS = ("auto", "mediapipe", "scrfd")


@dataclass(frozen=True, slots=True)
class ModelChoice:
    """A generator, whose weights it has, and why it was chosen."""

    generator: Generator
    weights_sha256: str | None  # of the file that they came in
    reason: str


@dataclass(frozen=True, slots=True)
class JobParts:
    """What is loaded once and may serve many jobs, also at the same time.

    Raises:
        OptionError: the generator needs a mesh, which the tracker does not give.
    """

    model: ModelChoice
    tracker: FaceTracker
    blender: Blender
    enhancer: Enhancer | None = None

    def __post_init__(self) -> None:
        spec = self.model.generator.spec
        if spec.needs_mesh and not self.tracker.gives_mesh:
            raise OptionError(
                f"{spec.name} needs a face mesh, and {self.tracker.name} gives five points",
                "choose the tracker mediapipe, or a model that makes do with five points",
            )


def load_parts(
    options: JobOptions, models: ModelStore, clock: StageClock | None = None, execution: Execution | None = None
) -> JobParts:
    """What `options` name, ready to work. `clock` learns which stage a network's own threads work for.

    Raises:
        OptionError: there is no model or tracker of that name, they do not fit together, or the provider is not here.
        ModelMissingError: a model is not installed.
        ModelCorruptError: a model's file is not what was installed.
        LicenceError: a model's licence has to be accepted first.
        ModelError: a model cannot be opened.
    """
    clock, execution = clock or StageClock(), execution or Execution()
    tracker = choose_tracker(options, models, execution)
    with clock.adopting("infer"):
        model = choose_model(options, models, execution)
    blender = FeatherBlender() if options.compat == "upstream" else choose_blender(options.blend, model.generator)
    if not options.enhance_quality:
        return JobParts(model, tracker, blender)
    with clock.adopting("enhance"):
        return JobParts(model, tracker, blender, _gfpgan(models, execution))


def choose_model(options: JobOptions, models: ModelStore, execution: Execution) -> ModelChoice:
    """The generator that `options` name; raises what `load_parts` does."""
    if options.model not in MODELS:
        raise OptionError(f"there is no model {options.model!r}", f"choose one of {', '.join(MODELS)}")
    if options.compat == "upstream" and options.model not in NEURAL_MODELS:
        raise OptionError(f"compat upstream does not go with model {options.model}", "choose wav2lip or wav2lip-gan")
    if options.model == "auto":
        return _best_model(options, models, execution)
    if options.model == "viseme":
        return ModelChoice(VisemeGenerator(), None, "asked for")
    return _wav2lip(options, models, execution, options.model, "asked for")


def choose_tracker(options: JobOptions, models: ModelStore, execution: Execution) -> FaceTracker:
    """The tracker that `options` name; raises what `load_parts` does."""
    if options.tracker not in TRACKERS:
        raise OptionError(f"there is no tracker {options.tracker!r}", f"choose one of {', '.join(TRACKERS)}")
    if options.tracker != "scrfd":
        return MediapipeTracker(models, options.face)
    installed = models.open_usable("scrfd")
    from lipsync_core.face.scrfd import ScrfdTracker

    return ScrfdTracker(installed.path("detector"), options.face, _opening(execution))


def choose_blender(name: Blend, generator: Generator) -> Blender:
    """The blender called `name`; `auto` is poisson for patches that a network drew, and feather for warped pixels."""
    if name == "auto":
        name = "feather" if generator.spec.crop_px is None else "poisson"
    return PoissonBlender() if name == "poisson" else FeatherBlender()


def _gfpgan(models: ModelStore, execution: Execution) -> Enhancer:
    installed = models.open_usable("gfpgan")
    from lipsync_core.enhance.gfpgan import GfpganEnhancer
    from lipsync_core.enhance.gfpgan_onnx import GfpganNetwork

    return GfpganEnhancer(GfpganNetwork(installed.path(NETWORK), _opening(execution)))


def _opening(execution: Execution) -> OpeningProvider:
    return choose_provider(execution).opening


def _best_model(options: JobOptions, models: ModelStore, execution: Execution) -> ModelChoice:
    """The first of `NEURAL_MODELS` that may be used, or else what needs no weights."""
    passed_over: list[str] = []
    for name in NEURAL_MODELS:
        try:
            return _wav2lip(options, models, execution, name, _reason(passed_over))
        except ModelError as exc:
            passed_over.append(f"{name} {_obstacle(exc)}")
    return ModelChoice(VisemeGenerator(), None, _reason(passed_over))


def _reason(passed_over: list[str]) -> str:
    return "the best that can be used here" + (f": {', '.join(passed_over)}" if passed_over else "")


def _obstacle(reason: ModelError) -> str:
    """Why a model was passed over, in a few words."""
    match reason:
        case ModelMissingError():
            return "is not installed"
        case ModelCorruptError():
            return "is damaged"
        case LicenceError():
            return "awaits its licence's acceptance"
    return f"cannot be used ({reason.message})"


def _wav2lip(options: JobOptions, models: ModelStore, execution: Execution, name: str, reason: str) -> ModelChoice:
    installed = models.open_usable(name)
    from lipsync_core.generators.wav2lip import Identity, Wav2LipGenerator
    from lipsync_core.generators.wav2lip_onnx import Wav2LipNetwork

    identity = Identity(name, installed.licence)
    if options.compat == "upstream":
        from lipsync_core.compat.upstream import UpstreamGenerator

        whole = Wav2LipNetwork(installed.path(NETWORK), _opening(execution), first_row=0)
        return ModelChoice(UpstreamGenerator(whole, identity), installed.source_sha256, reason)
    network = Wav2LipNetwork(installed.path(NETWORK), _opening(execution))
    return ModelChoice(Wav2LipGenerator(network, identity), installed.source_sha256, reason)
