"""This product's steps in the comparison with the public implementation: a job on a fixed face box, and seeded weights.

Each step is a process of its own, so that its cost is measured separately.
"""

import argparse
import sys
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from lipsync_core.blend.poisson import PoissonBlender
from lipsync_core.catalogue import InferenceParts, JobParts, RenderingParts
from lipsync_core.execution import Provider
from lipsync_core.face.track import Arrays, ReadArrays, TrackedFace
from lipsync_core.face.tracker import FaceTracker
from lipsync_core.generators.contract import ModelIdentity
from lipsync_core.generators.wav2lip import Identity, Wav2LipGenerator
from lipsync_core.generators.wav2lip_boxes import FacePadding
from lipsync_core.generators.wav2lip_onnx import Wav2LipNetwork
from lipsync_core.generators.wav2lip_painter import Wav2LipPainting
from lipsync_core.media.decode import SourceFrame
from lipsync_core.pipeline import lip_sync
from lipsync_core.workspace import Workspace

#: Eyes, nose tip and mouth corners of an upright face, in widths and heights of its box.
_POINTS = np.array([[0.3, 0.4], [0.7, 0.4], [0.5, 0.6], [0.35, 0.75], [0.65, 0.75]])


class FixedBoxTracker(FaceTracker):
    """Implements `FaceTracker` with a given box, the same in every frame."""

    def __init__(self, box: NDArray[np.float32]) -> None:
        """`box` (4,) x0 y0 x1 y1 in source pixels."""
        self._box = box

    @property
    def name(self) -> str:
        """Name and version."""
        return "fixed-box/1"

    @property
    def parameters(self) -> str:
        """The box."""
        return str(self._box.tolist())

    @property
    def gives_mesh(self) -> bool:
        """False: a face has five points."""
        return False

    @property
    def provider(self) -> Provider:
        """The CPU: the tracker has no network."""
        return "cpu"

    def follower(self, state: ReadArrays | None = None) -> "FixedBoxTracker":
        """This tracker: it knows no more than its box."""
        return self

    def warm(self, frame: SourceFrame) -> None:
        """See `Follower`; there is nothing to know."""

    def follow(self, frame: SourceFrame) -> TrackedFace:
        """The box."""
        landmarks = np.zeros((len(_POINTS), 3), np.float32)
        landmarks[:, :2] = self._box[:2] + _POINTS * (self._box[2:] - self._box[:2])
        return TrackedFace(frame.index, self._box, 1.0, landmarks)

    def state(self) -> Arrays:
        """Nothing."""
        return {}


def speak(network: Path, video: Path, speech: Path, output: Path, box: tuple[int, int, int, int]) -> None:
    """Run the job with the box (top, bottom, left, right), without padding and with default options."""
    top, bottom, left, right = box
    unpadded = FacePadding(bottom_px=0)
    generator = Wav2LipGenerator(Wav2LipNetwork(network), Identity("wav2lip", "seeded weights"), unpadded)
    identity, painting = ModelIdentity.of(generator.spec, None, "benchmark"), Wav2LipPainting(unpadded)
    tracker = FixedBoxTracker(np.array([left, top, right, bottom], np.float32))
    parts = JobParts(
        tracker,
        InferenceParts(identity, generator, painting),
        RenderingParts(identity, painting, PoissonBlender()),
    )
    lip_sync(video, speech, output, workspace=Workspace.below(output.parent), parts=parts)


def write_seeded_checkpoint(checkpoint: Path) -> None:
    """Write the weights of the tests, each made from its name alone. Needs torch."""
    import torch

    sys.path.append(str(Path(__file__).resolve().parents[1]))
    from tests.wav2lip_weights import seeded_tensors

    torch.save({"state_dict": seeded_tensors("module.")}, checkpoint)


def main() -> None:
    """Run one step of the comparison; `compare_upstream` starts it."""
    parser = argparse.ArgumentParser()
    steps = parser.add_subparsers(dest="step", required=True)
    seed = steps.add_parser("seed")
    seed.add_argument("paths", type=Path, nargs=1, help="the checkpoint to write")
    convert = steps.add_parser("import")
    convert.add_argument("paths", type=Path, nargs=2, help="the checkpoint and the ONNX file to write")
    job = steps.add_parser("speak")
    job.add_argument("paths", type=Path, nargs=4, help="network, video, speech, output")
    job.add_argument("--box", type=int, nargs=4)
    given = parser.parse_args()
    if given.step == "seed":
        write_seeded_checkpoint(*given.paths)
    elif given.step == "import":
        from lipsync_core.export.importing import import_wav2lip

        import_wav2lip(*given.paths)
    else:
        speak(*given.paths, tuple(given.box))
