"""Whole jobs through the neural path, with seeded weights: the mouth is noise, everything else must be right."""

import json
import os
import shutil
import subprocess
import sys
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import cv2
import numpy as np
import pytest

from demo.make_face_clip import make_face_clip
from lipsync_core import JobOptions, JobReport, Workspace, lip_sync
from lipsync_core.catalogue import load_inference, load_parts
from lipsync_core.clock import StageClock
from lipsync_core.errors import LicenceError, ModelError, ModelMissingError, OptionError
from lipsync_core.execution import Execution
from lipsync_core.face.scrfd import ScrfdTracker
from lipsync_core.generators.contract import Painter
from lipsync_core.generators.crop import crop_face
from lipsync_core.install import ModelInstaller
from lipsync_core.media.decode import SourceFrame, decode_frames
from lipsync_core.media.planes import Box, read_region
from lipsync_core.models.store import ModelStore
from lipsync_core.providers import choose_provider
from lipsync_core.tracking import EXTENT_S
from tests.conftest import Ffmpeg
from tests.echo_network import write_echo
from tests.jobs import luma_frames, reopened
from tests.onnx_stand_in import CUDA, opened_models, stand_in_environment
from tests.scaling_network import write_scaling_network
from tests.scrfd_network import write_drawn_video, write_scrfd_network
from tests.shared_files import CLIPS, SCRFD, shared_file
from tests.thorough import first_rows, thorough
from tests.wav2lip_weights import home_with, imported_wav2lip, needs_torch

SECOND = Fraction(1)
WAV2LIP = JobOptions(model="wav2lip", end_s=SECOND)
LOSSLESS = replace(WAV2LIP, crf=0, preset="ultrafast")
#: A quarter of the public implementation's peak on a quiet machine with 2 cores, 2.85 GB.
MOST_BYTES = 712_000_000
LIPSYNC = Path(sys.executable).with_name("lipsync")


@pytest.fixture(scope="module")
def seeded(model_store: ModelStore, tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    return home_with(imported_wav2lip(tmp_path_factory), tmp_path_factory.mktemp("seeded"))


@pytest.fixture(scope="module")
def echoing(model_store: ModelStore, tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """A network in place of Wav2Lip that gives its reference crop back."""
    folder = tmp_path_factory.mktemp("echoing")
    return home_with(write_echo(folder / "echo.onnx"), folder)


@needs_torch
@pytest.mark.parametrize(
    ("name", "count"),
    first_rows(
        [("", 25), ("retalking_face3.mp4", 25), ("latentsync_demo1_video.mp4", 25), ("liveportrait_d3.mp4", 30)], 2
    ),
    ids=["portrait", "hevc", "woman", "close-up"],
)
def test_a_job_speaks_with_wav2lip(
    name: str, count: int, face_clip: Path, speech_wav: Path, seeded: Workspace, tmp_path: Path
) -> None:
    video = shared_file(CLIPS / name) if name else face_clip
    report = lip_sync(video, speech_wav, tmp_path / "out.mp4", WAV2LIP, seeded)
    movie = reopened(tmp_path / "out.mp4")
    assert report.frames.synced == report.frames.total == len(movie.times_s) == count
    assert movie.duration_s == 1
    assert abs(movie.audio_s - 1) <= Fraction(1, 20)
    stages = {stage.stage: stage.items for stage in report.stages}
    assert stages["crop"] == stages["infer"] == stages["blend"] == count
    assert (report.model, report.blender) == ("wav2lip/1", "poisson")


@needs_torch
def test_the_report_and_the_file_name_the_weights_and_their_licence(
    face_clip: Path, speech_wav: Path, seeded: Workspace, tmp_path: Path
) -> None:
    report = lip_sync(face_clip, speech_wav, tmp_path / "out.mp4", replace(WAV2LIP, end_s=Fraction(1, 5)), seeded)
    store = ModelStore(seeded.models)
    assert report.model_sha256 == store.verify("wav2lip").source_sha256
    assert report.model_licence == store.entry("wav2lip").licence
    comment = reopened(tmp_path / "out.mp4").comment
    assert "wav2lip/1" in comment and report.model_licence in comment and report.model_sha256 in comment


def uncached(workspace: Workspace, folder: Path) -> Workspace:
    """Without the longer face tracks of other tests: boxes are steadied by the frames that follow."""
    return Workspace(models=workspace.models, cache=folder / "cache")


def painter_of(video: Path, options: JobOptions, workspace: Workspace) -> Painter:
    """The painter that a job with these options has."""
    parts = load_parts(options, ModelStore(workspace.models))
    track = parts.tracker.track(decode_frames(video, StageClock(), Fraction(EXTENT_S)), StageClock())
    return parts.inference.painting.painter(track, {})


def region_box(painter: Painter, source: SourceFrame) -> Box:
    box = painter.region(source.index)
    assert box is not None
    return box.clipped(source.picture.width, source.picture.height)


@needs_torch
@pytest.mark.parametrize("blend", ["feather", "poisson"])
def test_nothing_outside_the_mask_changes_by_a_code_value(
    blend: str, face_clip: Path, speech_wav: Path, seeded: Workspace, tmp_path: Path
) -> None:
    options = replace(LOSSLESS, blend=blend, end_s=Fraction(2, 5))
    lip_sync(face_clip, speech_wav, tmp_path / "out.mp4", options, uncached(seeded, tmp_path))
    painter = painter_of(face_clip, options, seeded)
    output = decode_frames(tmp_path / "out.mp4", StageClock())
    for source, frame in zip(decode_frames(face_clip, StageClock(), options.end_s), output, strict=True):
        box = region_box(painter, source)
        edit = np.zeros((53, 96, 3), np.uint8)
        mask = np.zeros((source.picture.height, source.picture.width), bool)
        painted = painter.paint(read_region(source.picture, box), box, source.index, edit)
        mask[box.y0 : box.y1, box.x0 : box.x1] = painted.mask > 0
        before, after = (each.picture.to_ndarray(format="gray") for each in (source, frame))
        assert np.array_equal(before[~mask], after[~mask])
        assert (before[mask] != after[mask]).mean() > 0.8


@pytest.mark.parametrize("blend", ["feather", "poisson"])
def test_a_generator_that_returns_its_crop_gives_the_input_back(
    blend: str, face_clip: Path, speech_wav: Path, echoing: Workspace, tmp_path: Path
) -> None:
    options = replace(LOSSLESS, blend=blend, end_s=Fraction(2, 5))
    lip_sync(face_clip, speech_wav, tmp_path / "out.mp4", options, uncached(echoing, tmp_path))
    painter = painter_of(face_clip, options, echoing)
    output = decode_frames(tmp_path / "out.mp4", StageClock())
    for source, frame in zip(decode_frames(face_clip, StageClock(), options.end_s), output, strict=True):
        box = region_box(painter, source)
        before, after = (read_region(each.picture, box) for each in (source, frame))
        crop = crop_face(before, 96)
        mask = painter.paint(before, box, source.index, crop[43:]).mask > 0.99
        resized = cv2.resize(crop, before.shape[1::-1], interpolation=cv2.INTER_LINEAR)
        resize_error = np.abs(resized.astype(int) - before)[mask].mean()
        assert 0.2 < resize_error < 10
        assert np.abs(after.astype(int) - before)[mask].mean() < resize_error + 0.6  # and the rounding of YUV


@needs_torch
def test_frames_without_a_face_pass_through(
    face_clip: Path, speech_wav: Path, seeded: Workspace, tmp_path: Path, ffmpeg: Ffmpeg
) -> None:
    blanked = tmp_path / "blanked.mp4"
    ffmpeg("-i", face_clip, "-vf", "drawbox=color=gray:t=fill:enable='between(n,6,10)'", "-an", "-crf", "10", blanked)
    report = lip_sync(blanked, speech_wav, tmp_path / "out.mp4", LOSSLESS, seeded)
    assert (report.frames.synced, report.frames.passed_no_face) == (20, 5)
    assert {stage.stage: stage.items for stage in report.stages}["infer"] == 20
    pairs = zip(luma_frames(blanked, 25), luma_frames(tmp_path / "out.mp4"), strict=True)
    assert [np.array_equal(source, output) for source, output in pairs] == [6 <= index <= 10 for index in range(25)]


@needs_torch
@pytest.mark.parametrize("kind", ["drawing", "real"])
def test_five_points_are_enough(kind: str, speech_wav: Path, seeded: Workspace, tmp_path: Path) -> None:
    if kind == "drawing":
        video, network = write_drawn_video(tmp_path / "face.mp4", 25), write_scrfd_network(tmp_path / "scrfd.onnx")
    else:
        video, network = shared_file(CLIPS / "retalking_face3.mp4"), shared_file(SCRFD)
    loaded = load_parts(WAV2LIP, ModelStore(seeded.models))
    parts = replace(loaded, tracker=ScrfdTracker(network))
    report = lip_sync(video, speech_wav, tmp_path / "out.mp4", WAV2LIP, seeded, parts=parts)
    assert report.tracker == "scrfd/2"
    assert report.frames.synced == report.frames.total == 25


def test_viseme_fails_when_the_tracker_gives_five_points(model_store: ModelStore, tmp_path: Path) -> None:
    loaded = load_parts(JobOptions(model="viseme"), model_store)
    tracker = ScrfdTracker(write_scrfd_network(tmp_path / "scrfd.onnx"))
    with pytest.raises(OptionError, match="viseme needs a face mesh, and scrfd/2 gives five points"):
        replace(loaded, tracker=tracker)


@needs_torch
def test_enhancing_restores_the_mouth_and_nothing_else(
    face_clip: Path, speech_wav: Path, seeded: Workspace, tmp_path: Path
) -> None:
    workspace = Workspace(models=tmp_path / "models", cache=tmp_path / "cache")
    shutil.copytree(seeded.models, workspace.models)
    negative = write_scaling_network(tmp_path / "negative.onnx", -1.0)
    ModelInstaller(ModelStore(workspace.models)).import_file("gfpgan", negative)
    options = replace(LOSSLESS, end_s=Fraction(1, 5))
    plain = lip_sync(face_clip, speech_wav, tmp_path / "plain.mp4", options, workspace)
    report = lip_sync(face_clip, speech_wav, tmp_path / "out.mp4", replace(options, enhance_quality=True), workspace)
    assert plain.enhancer is None
    assert report.enhancer == "gfpgan/1 (Apache-2.0)"
    assert "gfpgan/1" in reopened(tmp_path / "out.mp4").comment
    assert {stage.stage: stage.items for stage in report.stages}["enhance"] == 5
    frames = (luma_frames(path) for path in (tmp_path / "plain.mp4", tmp_path / "out.mp4"))
    sources = luma_frames(face_clip, 5)
    for source, without, enhanced in zip(sources, *frames, strict=True):
        assert (without != enhanced).sum() > 1000
        untouched = without == source
        assert (enhanced != source)[untouched].mean() < 0.01  # inside the mask, a new pixel may equal the old


def test_a_job_fails_when_the_weights_are_absent(
    face_clip: Path, speech_wav: Path, workspace: Workspace, tmp_path: Path
) -> None:
    for name in ("wav2lip", "wav2lip-gan"):
        with pytest.raises(ModelMissingError) as raised:
            lip_sync(face_clip, speech_wav, tmp_path / "out.mp4", JobOptions(model=name), workspace)
        assert raised.value.code == "MODEL_MISSING"
        assert f"lipsync models pull {name}" in raised.value.remedy
    with pytest.raises(ModelMissingError, match="lipsync models pull scrfd"):
        lip_sync(face_clip, speech_wav, tmp_path / "out.mp4", JobOptions(tracker="scrfd"), workspace)
    with pytest.raises(ModelMissingError, match="lipsync models pull gfpgan"):
        lip_sync(face_clip, speech_wav, tmp_path / "out.mp4", JobOptions(enhance_quality=True), workspace)
    assert not (tmp_path / "out.mp4").exists()


def test_a_job_fails_when_the_licence_was_not_accepted(
    face_clip: Path, speech_wav: Path, echoing: Workspace, tmp_path: Path
) -> None:
    workspace = Workspace(models=tmp_path / "models", cache=tmp_path / "cache")
    shutil.copytree(echoing.models, workspace.models)
    shutil.rmtree(workspace.models / "accepted-licences")
    with pytest.raises(LicenceError, match="--accept-licence") as raised:
        lip_sync(face_clip, speech_wav, tmp_path / "out.mp4", WAV2LIP, workspace)
    assert raised.value.code == "LICENCE_NOT_ACCEPTED"
    chosen = load_inference(JobOptions(), ModelStore(workspace.models)).identity
    assert chosen.name == "viseme"
    assert "wav2lip awaits its licence's acceptance" in chosen.reason


def test_auto_takes_the_best_that_can_be_used_and_says_why(
    face_clip: Path, speech_wav: Path, echoing: Workspace, workspace: Workspace, tmp_path: Path
) -> None:
    without = load_inference(JobOptions(), ModelStore(workspace.models)).identity
    assert without.name == "viseme"
    assert without.reason.endswith("wav2lip-gan is not installed, wav2lip is not installed")
    report: JobReport = lip_sync(face_clip, speech_wav, tmp_path / "out.mp4", JobOptions(end_s=Fraction(1, 5)), echoing)
    assert report.model == "wav2lip/1"
    assert report.model_reason == "the best that can be used here: wav2lip-gan is not installed"


def test_auto_fails_when_its_network_is_asked_for_another_expression(echoing: Workspace, workspace: Workspace) -> None:
    options = JobOptions(expression=0.5)
    assert load_inference(options, ModelStore(workspace.models)).identity.name == "viseme"
    with pytest.raises(OptionError, match=r"expression 0\.5 does not go with model wav2lip; choose model viseme"):
        load_inference(options, ModelStore(echoing.models))


def test_a_job_fails_when_the_provider_is_not_here(
    face_clip: Path, speech_wav: Path, echoing: Workspace, tmp_path: Path
) -> None:
    import onnxruntime

    if "CUDAExecutionProvider" in onnxruntime.get_available_providers():
        pytest.skip("this ONNX Runtime has CUDA")
    with pytest.raises(OptionError, match="no cuda provider"):
        lip_sync(face_clip, speech_wav, tmp_path / "out.mp4", WAV2LIP, echoing, execution=Execution("cuda"))
    half = Execution("tensorrt", "fp16")
    with pytest.raises(OptionError, match="no tensorrt provider"):
        lip_sync(face_clip, speech_wav, tmp_path / "out.mp4", WAV2LIP, echoing, execution=half)


def test_the_report_names_the_provider_of_every_network(
    face_clip: Path, speech_wav: Path, echoing: Workspace, tmp_path: Path
) -> None:
    options, workspace = replace(WAV2LIP, end_s=Fraction(1, 5)), uncached(echoing, tmp_path)
    report = lip_sync(face_clip, speech_wav, tmp_path / "out.mp4", options, workspace)
    assert report.providers == choose_provider(Execution())
    providers = {stage.stage: stage.provider for stage in report.stages if stage.provider}
    assert providers == {"track": "cpu", "infer": report.providers.chosen}


def test_a_job_through_another_provider_says_so_in_its_report(
    face_clip: Path, speech_wav: Path, echoing: Workspace, tmp_path: Path
) -> None:
    log = tmp_path / "sessions.jsonl"
    command = [LIPSYNC, "run", face_clip, speech_wav, "-o", tmp_path / "out.mp4", "--model", "wav2lip", "--end", "0.2"]
    done = subprocess.run(
        [*command, "--home", echoing.models.parent, "--json", "--quiet"],
        env=stand_in_environment(log),
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)
    reason = "it ran a trial network correctly"
    assert report["providers"] == {"requested": "auto", "chosen": "cuda", "reason": reason, "precision": "fp32"}
    assert {stage["stage"]: stage["provider"] for stage in report["stages"]}["infer"] == "cuda"
    assert opened_models(log) == [("wav2lip.onnx", CUDA)]


@pytest.mark.parametrize(("fallback", "code"), [("opening", 2), ("nodes", 2), ("run", 6)])
def test_a_job_fails_when_the_provider_falls_back_to_the_cpu(
    fallback: str, code: int, face_clip: Path, speech_wav: Path, echoing: Workspace, tmp_path: Path
) -> None:
    files = (face_clip, speech_wav, "-o", tmp_path / "out.mp4", "--home", echoing.models.parent)
    done = subprocess.run(
        [LIPSYNC, "run", *files, "--model", "wav2lip", "--end", "0.2", "--providers", "cuda", "--quiet"],
        env=stand_in_environment(tmp_path / "sessions.jsonl", fallback=fallback),
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert done.returncode == code, done.stderr
    assert not (tmp_path / "out.mp4").exists()


def in_a_child(*command: str | Path) -> str:
    """The standard output of a process whose memory and modules are its own."""
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stderr
    return done.stdout


@needs_torch
@pytest.mark.skipif(os.cpu_count() == 1, reason="on a machine with one core a network starts no threads")
def test_the_networks_threads_are_charged_to_inference(
    face_clip: Path, speech_wav: Path, seeded: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("lipsync_core.clock.time.thread_time", lambda: 0.0)  # this thread costs nothing
    report = lip_sync(face_clip, speech_wav, tmp_path / "out.mp4", replace(WAV2LIP, end_s=Fraction(1, 5)), seeded)
    assert {stage.stage: stage.cpu_s > 0 for stage in report.stages}["infer"]


@needs_torch
@thorough
def test_a_job_stays_within_a_quarter_of_the_public_implementations_memory(
    speech_wav: Path, seeded: Workspace, tmp_path: Path
) -> None:
    make_face_clip(tmp_path / "face.mp4", frames=60, size=(1280, 720))
    files = (tmp_path / "face.mp4", speech_wav, "-o", tmp_path / "out.mp4", "--home", seeded.models.parent)
    report = json.loads(in_a_child(LIPSYNC, "run", *files, "--model", "wav2lip", "--end", "2", "--json", "-q"))
    assert report["frames"]["synced"] == 60
    assert report["peak_rss_bytes"] < MOST_BYTES  # 560 MB when this was written


def test_a_job_without_networks_loads_no_onnx_runtime(
    face_clip: Path, speech_wav: Path, workspace: Workspace, tmp_path: Path
) -> None:
    script = (
        "import sys; from fractions import Fraction; from pathlib import Path\n"
        "from lipsync_core import JobOptions, Workspace, lip_sync\n"
        "video, audio, output, models, cache = map(Path, sys.argv[1:])\n"
        "lip_sync(video, audio, output, JobOptions(end_s=Fraction(1, 5)), Workspace(models, cache))\n"
        "print('onnxruntime' in sys.modules)"
    )
    text = in_a_child(
        sys.executable, "-c", script, face_clip, speech_wav, tmp_path / "out.mp4", workspace.models, workspace.cache
    )
    assert text == "False\n"


def test_without_onnx_runtime_auto_falls_back_and_wav2lip_fails_with_the_remedy(echoing: Workspace) -> None:
    script = (
        "import sys; sys.modules['onnxruntime'] = None; from pathlib import Path\n"
        "from lipsync_core.catalogue import load_inference\n"
        "from lipsync_core.errors import ModelError\n"
        "from lipsync_core.models.store import ModelStore\n"
        "from lipsync_core.options import JobOptions\n"
        "store = ModelStore(Path(sys.argv[1]))\n"
        "chosen = load_inference(JobOptions(), store).identity\n"
        "print(chosen.name, chosen.reason)\n"
        "try:\n    load_inference(JobOptions(model='wav2lip'), store)\n"
        "except ModelError as exc:\n    print(exc.remedy)\n"
    )
    chosen, remedy = in_a_child(sys.executable, "-c", script, echoing.models).splitlines()
    assert chosen.startswith("viseme the best that can be used here: wav2lip-gan is not installed, wav2lip cannot be")
    assert "ONNX Runtime" in chosen
    assert remedy.startswith("run: pip install 'lipsync[neural]'")


def test_a_compat_job_has_as_many_frames_as_the_public_implementation_writes(
    face_clip: Path, model_store: ModelStore, tmp_path: Path, ffmpeg: Ffmpeg
) -> None:
    whole = home_with(write_echo(tmp_path / "whole.onnx", first_row=0), tmp_path / "home", is_whole=True)
    video, tone = tmp_path / "twenty.mp4", tmp_path / "tone.wav"
    ffmpeg("-i", face_clip, "-frames:v", "20", "-an", "-r", "25", "-crf", "10", video)
    ffmpeg("-f", "lavfi", "-i", "sine=frequency=220:sample_rate=16000:duration=2", tone)
    report = lip_sync(video, tone, tmp_path / "out.mp4", JobOptions(model="wav2lip", compat="upstream"), whole)
    movie = reopened(tmp_path / "out.mp4")
    # 2 s are 161 columns, 3.2 a frame: frames 0..45 begin at column 145 or before, and one more hears the last 16.
    assert len(movie.times_s) == report.frames.synced == 47
    assert report.model.endswith("-upstream")
    assert report.blender == "feather"
    source, output = luma_frames(video), luma_frames(tmp_path / "out.mp4")
    looped = [np.abs(source[k % 20].astype(int) - output[k]).mean() for k in range(47)]
    assert max(looped) < 3  # an echo puts the face back, whole and with hard edges


@pytest.mark.parametrize(
    ("chosen", "named"),
    [
        ({"length": "video"}, "length"),
        ({"extend": "loop"}, "extend"),
        ({"end_s": SECOND}, "end"),
        ({"start_s": SECOND}, "start"),
        ({"blend": "poisson"}, "blend"),
        ({"enhance_quality": True}, "enhance-quality"),
        ({"model": "auto", "expression": 0.5}, "expression"),
    ],
)
def test_compat_fails_with_options_that_the_public_implementation_has_not(
    chosen: dict[str, object], named: str
) -> None:
    with pytest.raises(OptionError, match=f"compat upstream does not go with {named}"):
        JobOptions(**{"model": "wav2lip", "compat": "upstream", **chosen})  # type: ignore[arg-type]


def test_compat_fails_when_the_network_was_imported_for_the_mouth_alone(
    face_clip: Path, speech_wav: Path, echoing: Workspace, tmp_path: Path
) -> None:
    with pytest.raises(ModelError, match="--whole"):
        lip_sync(face_clip, speech_wav, tmp_path / "out.mp4", JobOptions(model="wav2lip", compat="upstream"), echoing)


def test_compat_fails_with_a_model_that_the_public_implementation_has_not(
    face_clip: Path, speech_wav: Path, echoing: Workspace, tmp_path: Path
) -> None:
    with pytest.raises(OptionError, match="choose wav2lip or wav2lip-gan"):
        lip_sync(face_clip, speech_wav, tmp_path / "out.mp4", JobOptions(compat="upstream"), echoing)
