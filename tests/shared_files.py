"""The files that lie beside the repository, because they may not be part of it; no other module knows where they are.

`tests/README.md` lists them with their sources. Where one is absent, the tests that need it are skipped and say so.
"""

from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
SHARED = ROOT.parent / "shared"
CLIPS = SHARED / "clips"
VIDEOS = (
    "facerec_short_hamilton_clip.mp4",
    "latentsync_demo1_video.mp4",
    "liveportrait_d3.mp4",
    "liveportrait_s13.mp4",
    "liveportrait_s20.mp4",
    "retalking_face1.mp4",
    "retalking_face3.mp4",
    "sadtalker_WDA_AlexandriaOcasioCortez_000.mp4",
)
RECORDINGS = ("latentsync_demo1_audio.wav", "retalking_audio1.wav", "sadtalker_imagine.wav")
SCRFD = SHARED / "models" / "scrfd_500m.onnx"
LANDMARKER = SHARED / "models" / "pfld68.onnx"
GOLDEN = SHARED / "golden"  # outputs of the public implementation of Wav2Lip


def reason_without(file: Path) -> str:
    """The reason why a test is skipped, and the way to run it."""
    name = file.relative_to(SHARED.parent)
    return f"../{name} is absent: it is not part of the repository; tests/README.md says where it comes from"


def shared_file(file: Path) -> Path:
    """The path of `file`, which lies below `SHARED`; if it is absent, the test is skipped."""
    if not file.exists():
        pytest.skip(reason_without(file))
    return file


def shared_clips() -> Path:
    """The folder of the real clips; if one of them is absent, the test is skipped."""
    for name in (*VIDEOS, *RECORDINGS):
        shared_file(CLIPS / name)
    return CLIPS


def needs(file: Path) -> pytest.MarkDecorator:
    """A mark for a test that is skipped if `file` is absent."""
    return pytest.mark.skipif(not file.exists(), reason=reason_without(file))


needs_golden = needs(GOLDEN)
