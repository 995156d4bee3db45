"""Loads the models and methods that a job's options name, in three parts: tracking, inference and rendering.

A service has the first two on its GPU pool and the third on its CPU pool, and each opens only its own networks; one
machine that does it all has `JobParts`. What only some jobs need is imported here by those alone: ONNX Runtime costs
45 MB and .15 s.
"""

import importlib
from dataclasses import dataclass
from pathlib import Path

from lipsync_core.blend.contract import Blender
from lipsync_core.blend.feather import FeatherBlender
from lipsync_core.blend.poisson import PoissonBlender
from lipsync_core.clock import StageClock
from lipsync_core.enhance.contract import Enhancer
from lipsync_core.errors import (
    LicenceError,
    ModelCorruptError,
    ModelError,
    ModelMismatchError,
    ModelMissingError,
    OptionError,
)
from lipsync_core.execution import Execution, OpeningProvider
from lipsync_core.face.tracker import FaceTracker
from lipsync_core.generators.contract import InferringHalf, ModelIdentity, PaintingHalf, Watching
from lipsync_core.model_source import UsableModel, usable_model
from lipsync_core.models.store import ModelStore
from lipsync_core.option_specs import MODELS, NEURAL_MODELS, TRACKERS, Blend
from lipsync_core.options import JobOptions
from lipsync_core.providers import choose_provider
from lipsync_core.tracking import require_fitting


@dataclass(frozen=True, slots=True)
class InferenceParts:
    """The parts that infer a clip's edits."""

    identity: ModelIdentity
    generator: InferringHalf
    painting: PaintingHalf  # it decides which frames can be edited


@dataclass(frozen=True, slots=True)
class RenderingParts:
    """The parts that turn edits into pixels."""

    identity: ModelIdentity  # of the model that inferred the edits
    painting: PaintingHalf
    blender: Blender
    enhancer: Enhancer | None = None


@dataclass(frozen=True, slots=True)
class JobParts:
    """All parts of a job. They are loaded once and may serve many jobs, also at the same time.

    Raises:
        OptionError: the generator needs a mesh, which the tracker does not give.
    """

    tracker: FaceTracker
    inference: InferenceParts
    rendering: RenderingParts

    def __post_init__(self) -> None:
        require_fitting(self.tracker, self.inference.generator.spec)

    @property
    def uses_onnx_runtime(self) -> bool:
        """Whether one of the networks runs in ONNX Runtime or in a model server."""
        enhancer = self.rendering.enhancer
        return runs_onnx(self.tracker, self.inference) or (enhancer is not None and enhancer.provider is not None)


def runs_onnx(tracker: FaceTracker, inference: InferenceParts) -> bool:
    """Whether a network of the two runs in ONNX Runtime; the tracker `mediapipe` runs in LiteRT."""
    return inference.generator.provider is not None or tracker.name.startswith("scrfd/")


def load_parts(
    options: JobOptions, models: ModelStore, execution: Execution | None = None, clock: StageClock | None = None
) -> JobParts:
    """Load all parts that `options` name. `clock` charges the threads of each network to its stage.

    Raises:
        OptionError: there is no model or tracker of that name, they do not fit together, or the provider does not run
            a network.
        ModelMissingError: a model is not installed.
        ModelCorruptError: a model's file is not what was installed.
        LicenceError: a model's licence has to be accepted first.
        ModelError: a model cannot be opened.
    """
    tracker = load_tracking(options, models, execution)
    inference = load_inference(options, models, execution, clock)
    return JobParts(tracker, inference, load_rendering(inference.identity, options, models, execution, clock))


def load_tracking(options: JobOptions, models: ModelStore, execution: Execution | None = None) -> FaceTracker:
    """Load the tracker that `options` name; raises as `load_parts`."""
    if options.tracker not in TRACKERS:
        raise OptionError(f"there is no tracker {options.tracker!r}", f"choose one of {', '.join(TRACKERS)}")
    if options.tracker != "scrfd":
        from lipsync_core.face.mediapipe import MediapipeTracker

        return MediapipeTracker(models, options.face)
    detector = usable_model("scrfd", models, execution)
    from lipsync_core.face.scrfd import ScrfdTracker

    return ScrfdTracker(detector.network, options.face, _opening(execution), detector.weights_sha256)


def load_inference(
    options: JobOptions, models: ModelStore, execution: Execution | None = None, clock: StageClock | None = None
) -> InferenceParts:
    """Load the model that `options` name, and no part that only rendering needs; raises as `load_parts`."""
    if options.model not in MODELS:
        raise OptionError(f"there is no model {options.model!r}", f"choose one of {', '.join(MODELS)}")
    if options.compat == "upstream" and options.model not in NEURAL_MODELS:
        raise OptionError(f"compat upstream does not go with model {options.model}", "choose wav2lip or wav2lip-gan")
    with (clock or StageClock()).adopting("infer"):
        usable, reason = _chosen(options, models, execution)
        if usable is None:
            return _viseme(options, models, reason)
        return _wav2lip(options, execution, usable, reason)


def load_watching(options: JobOptions, models: ModelStore, execution: Execution | None = None) -> Watching:
    """Load what the track pass needs of the model that `options` name, but no network; raises as `load_parts`."""
    usable, reason = _chosen(options, models, execution)
    if usable is None:
        return _viseme(options, models, reason).generator
    from lipsync_core.generators.wav2lip_painter import Wav2LipWatching

    return Wav2LipWatching(usable.name, usable.licence)


def load_rendering(
    identity: ModelIdentity,
    options: JobOptions,
    models: ModelStore,
    execution: Execution | None = None,
    clock: StageClock | None = None,
) -> RenderingParts:
    """Load the parts that render the edits of the model `identity`. The only network among them is the enhancer's.

    Raises:
        ModelError: this version paints no edits of that model, or, with `enhance_quality`, as `load_parts`.
    """
    painting = load_painting(identity)
    blender = FeatherBlender() if options.compat == "upstream" else choose_blender(options.blend, identity)
    if not options.enhance_quality:
        return RenderingParts(identity, painting, blender)
    with (clock or StageClock()).adopting("enhance"):
        return RenderingParts(identity, painting, blender, _gfpgan(models, execution))


def require_rendering(options: JobOptions, models: ModelStore, execution: Execution | None = None) -> None:
    """Make sure, before any work is done for it, that rendering will find the weights that `options` need.

    Raises:
        ModelError: a model is not installed, damaged, not served, or its licence is not accepted.
    """
    if options.enhance_quality:
        usable_model("gfpgan", models, execution)


def load_painting(identity: ModelIdentity) -> PaintingHalf:
    """The painting half of the model `identity`. It needs no file.

    Raises:
        ModelError: there is none of that name and version.
    """
    from lipsync_core.compat.painter import UPSTREAM_VERSION, UpstreamPainting
    from lipsync_core.generators.viseme.painter import VISEME, VisemePainting
    from lipsync_core.generators.wav2lip_painter import WAV2LIP_VERSION, Wav2LipPainting

    if (identity.name, identity.version) == (VISEME.name, VISEME.version):
        return VisemePainting()
    if identity.name in NEURAL_MODELS and identity.version == WAV2LIP_VERSION:
        return Wav2LipPainting()
    if identity.name in NEURAL_MODELS and identity.version == UPSTREAM_VERSION:
        return UpstreamPainting()
    raise ModelError(
        f"this version of lipsync cannot paint what {identity.label} worked out",
        "have all machines run the same version, and run the job again",
    )


def choose_blender(name: Blend, identity: ModelIdentity) -> Blender:
    """The blender called `name`; `auto` is poisson for patches that a network drew, and feather for warped pixels."""
    if name == "auto":
        name = "feather" if identity.crop_px is None else "poisson"
    return PoissonBlender() if name == "poisson" else FeatherBlender()


def _gfpgan(models: ModelStore, execution: Execution | None) -> Enhancer:
    restorer = usable_model("gfpgan", models, execution)
    from lipsync_core.enhance.gfpgan import GfpganEnhancer
    from lipsync_core.enhance.gfpgan_onnx import GfpganNetwork

    return GfpganEnhancer(GfpganNetwork(restorer.network, _opening(execution)))


def _opening(execution: Execution | None) -> OpeningProvider:
    return choose_provider(execution or Execution()).opening


def _parts(generator: InferringHalf, weights_sha256: str | None, reason: str) -> InferenceParts:
    identity = ModelIdentity.of(generator.spec, weights_sha256, reason)
    return InferenceParts(identity, generator, load_painting(identity))


def _chosen(options: JobOptions, models: ModelStore, execution: Execution | None) -> tuple[UsableModel | None, str]:
    """The network that `options` name, None for `viseme`, and the reason.

    `auto` is the first of `NEURAL_MODELS` that may be used, or else `viseme`, whose model is free for any use. One that
    may be used and does not open is an error: another model would hide a fault of the machine.
    """
    if options.model == "viseme":
        return None, "asked for"
    if options.model != "auto":
        return usable_model(options.model, models, execution), "asked for"
    passed_over: list[str] = []
    for name in NEURAL_MODELS:
        try:
            usable = _runnable(models, name, execution)
        except ModelMismatchError:
            raise
        except ModelError as exc:
            passed_over.append(f"{name} {_obstacle(exc)}")
        else:
            options.require_fitting_expression(name)
            return usable, _reason(passed_over)
    return None, _reason(passed_over)


def _runnable(models: ModelStore, name: str, execution: Execution | None) -> UsableModel:
    """A model of the server, or one that runs in ONNX Runtime, which can be imported."""
    usable = usable_model(name, models, execution)
    if isinstance(usable.network, Path):
        importlib.import_module("lipsync_core.onnx_session")
    return usable


def _reason(passed_over: list[str]) -> str:
    return "the best that can be used here" + (f": {', '.join(passed_over)}" if passed_over else "")


def _obstacle(reason: ModelError) -> str:
    """The reason why a model was passed over, in a few words."""
    match reason:
        case ModelMissingError():
            return "is not installed"
        case ModelCorruptError():
            return "is damaged"
        case LicenceError():
            return "awaits its licence's acceptance"
    return f"cannot be used ({reason.message})"


def _viseme(options: JobOptions, models: ModelStore, reason: str) -> InferenceParts:
    from lipsync_core.generators.viseme.generator import VisemeGenerator

    return _parts(VisemeGenerator.open(models, options.expression), None, reason)


def _wav2lip(options: JobOptions, execution: Execution | None, usable: UsableModel, reason: str) -> InferenceParts:
    from lipsync_core.generators.wav2lip import Identity, Wav2LipGenerator
    from lipsync_core.generators.wav2lip_onnx import Wav2LipNetwork

    identity = Identity(usable.name, usable.licence)
    if options.compat == "upstream":
        from lipsync_core.compat.upstream import UpstreamGenerator

        whole = Wav2LipNetwork(usable.network, _opening(execution), first_row=0)
        return _parts(UpstreamGenerator(whole, identity), usable.weights_sha256, reason)
    network = Wav2LipNetwork(usable.network, _opening(execution))
    return _parts(Wav2LipGenerator(network, identity), usable.weights_sha256, reason)
