"""The service's stages without Prefect: two machines that share only a folder make the same movie as `lip_sync`."""

import errno
import hashlib
import wave
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any
from uuid import uuid4

import av
import numpy as np
import pytest

from demo.make_face_clip import make_face_clip
from lipsync_core import JobOptions, Workspace, lip_sync
from lipsync_core.encoder_choice import EncoderChoice, choose_encoder
from lipsync_core.errors import (
    FaceError,
    MemoryShortageError,
    ModelMissingError,
    OptionError,
    OutputError,
    SigningError,
    TransientError,
)
from lipsync_core.execution import Execution
from lipsync_core.install import ModelInstaller
from lipsync_core.limit_errors import DiskLimitError, SampleRateLimitError
from lipsync_core.limits import limits
from lipsync_core.media.allowed import allowed
from lipsync_core.media.probe import require_audio, require_video
from lipsync_core.media.working import working_picture
from lipsync_core.models.store import ModelStore
from lipsync_core.provenance.verification import verification_of
from lipsync_core.report import FrameCounts, Progress, Provenance
from lipsync_core.threads import no_thread_pools
from tests.conftest import Ffmpeg
from tests.echo_network import write_echo
from tests.scaling_network import write_scaling_network
from tests.wav2lip_weights import home_with, imported_wav2lip, needs_torch

pytest.importorskip("pydantic_settings", reason="the extra service is not installed")
from lipsync_service.client.request import LipSyncRequest
from lipsync_service.errors import ChecksumError, ObjectMissingError, SupersededError, UrlRefusedError
from lipsync_service.settings import Settings
from lipsync_service.storage.storage import Storage
from tasks.channel import ChannelClosedError
from tasks.edits import kept_or_inferred_edits
from tasks.inference import hear, load_gpu_pool_parts, open_inference
from tasks.job import Inferred, JobInputs, ServiceJob
from tasks.opening import open_job
from tasks.rendering import RenderPass, blend_frames, check_sound_of, deliver, encode_frames, keep, open_render
from tasks.signing import open_signing, sign_result
from tasks.stage_log import StageLog, StageMeter
from tasks.stages import fetch_audio, fetch_video, plan, upload
from tasks.tracks import read_clip, track_clip
from tests.thorough import first_of

SPEECH = Path(__file__).parents[2] / "demo" / "speech.wav"
FRAMES = 24  # of the clip, 0.8 s
SIZE = (512, 288)

MakeSettings = Callable[..., Settings]


class Service:
    """A folder that all machines share; each machine has a cache and a job folder of its own."""

    def __init__(self, folder: Path, models: Path, make_settings: MakeSettings) -> None:
        self._folder, self._models, self._make_settings = folder, models, make_settings

    @contextmanager
    def machine(self, name: str, options: JobOptions, is_inferring: bool = False) -> Iterator[ServiceJob]:
        """A machine that only renders has no models, unless it restores faces."""
        cache = self._folder / "caches" / name
        settings = self._make_settings(file_roots=(self._folder,), cache_dir=cache)
        folder = self._folder / "jobs" / f"{name}-{len(list(self._folder.glob('jobs/*')))}"
        folder.mkdir(parents=True)
        job = ServiceJob(
            options=options,
            models=ModelStore(self._models if is_inferring or options.enhance_quality else self._folder / "empty"),
            execution=Execution(),
            files=Storage(settings),
            shared_url=settings.storage_url,
            max_input_s=settings.max_duration_s,
            max_gpu_wait_s=settings.gpu_wait_s,
            longest_segment_s=Fraction(settings.segment_s),
            folder=folder,
            log=StageLog(),
        )
        with no_thread_pools(), job.leases:
            yield job

    def infer(self, options: JobOptions, video: Path, audio: Path) -> Inferred:
        """The part of a job that runs on the GPU pool."""
        with self.machine("gpu", options, is_inferring=True) as job:
            inference = open_inference(job, fetched(job, video, audio), load_gpu_pool_parts(job))
            with job.log.stage("listen") as meter:
                heard = hear(inference, meter)
            with job.log.stage("track") as meter:
                track = track_clip(inference, heard.end_s, meter, ignore)
                assert meter.was_cached == track.was_cached
            with job.log.stage("infer") as meter:
                edits = kept_or_inferred_edits(inference, heard, track, meter, ignore)
                assert meter.was_cached == edits.was_cached == (heard.conditions is None)
        return Inferred(inference.parts.chosen, track, edits)

    def render(self, options: JobOptions, video: Path, audio: Path, inferred: Inferred, output: Path) -> FrameCounts:
        """The part of a job that runs on the CPU pool."""
        with self.machine("cpu", options) as job:
            inputs = fetched(job, video, audio)
            render = open_render(job, inputs, inferred, encoder_for(job, inputs), uuid4(), output.suffix)
            rendered(replace(render, output=output))
            assert not render.is_kept
        return render.plan.counts

    def run(self, options: JobOptions, video: Path, audio: Path, output: Path) -> FrameCounts:
        return self.render(options, video, audio, self.infer(options, video, audio), output)


def fetched(job: ServiceJob, video: Path, audio: Path) -> JobInputs:
    return JobInputs(fetch_video.fn(job, video.as_uri()), fetch_audio.fn(job, audio.as_uri()))


def encoder_for(job: ServiceJob, inputs: JobInputs) -> EncoderChoice:
    return choose_encoder(job.options, working_picture(inputs.video.info))


def rendered(render: RenderPass) -> None:
    """Run both stages of the pass at the same time."""
    with ThreadPoolExecutor(2) as threads:
        blended, encoded = threads.submit(blended_items, render), threads.submit(encoded_items, render)
    assert isinstance(blended.exception(), type(encoded.exception()) | ChannelClosedError)
    assert encoded.result() == blended.result() == render.plan.counts.total


def blended_items(render: RenderPass) -> int:
    with render.job.log.stage("blend") as meter:
        blend_frames(render, meter)
    return meter.items


def encoded_items(render: RenderPass) -> int:
    with render.job.log.stage("encode") as meter:
        encode_frames(render, meter, ignore)
    return meter.items


def ignore(_: Progress) -> None:
    """Show no progress."""


def content(path: Path) -> tuple[list[Any], str]:
    """Every frame's time and pixels, and the sound as it is stored."""
    sound = hashlib.sha256()
    with av.open(str(path)) as movie:
        video, audio = movie.streams.video[0], movie.streams.audio[0]
        frames = []
        for packet in movie.demux(video, audio):
            if packet.stream is audio:
                sound.update(bytes(packet))
            else:
                frames += [(frame.pts, frame.to_ndarray().tobytes()) for frame in packet.decode()]
    return frames, sound.hexdigest()


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("clip") / "face.mp4"
    make_face_clip(path, FRAMES, SIZE)
    return path


@pytest.fixture
def video(clip: Path, tmp_path: Path) -> Path:
    """The clip, in a folder that jobs may read."""
    path = tmp_path / "face.mp4"
    path.write_bytes(clip.read_bytes())
    return path


@pytest.fixture
def audio(tmp_path: Path) -> Path:
    return spoken(tmp_path / "speech.wav", 1.0)


def spoken(path: Path, seconds: float, start: float = 0.0) -> Path:
    """A part of the demo's speech."""
    with wave.open(str(SPEECH)) as source, wave.open(str(path), "wb") as target:
        target.setparams(source.getparams())
        source.setpos(round(start * source.getframerate()))
        target.writeframes(source.readframes(round(seconds * source.getframerate())))
    return path


@pytest.fixture(scope="module")
def seeded(model_store: ModelStore, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Models with seeded weights for Wav2Lip."""
    return home_with(imported_wav2lip(tmp_path_factory), tmp_path_factory.mktemp("seeded")).models


@pytest.fixture(scope="module")
def simple(model_store: ModelStore, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Models with networks that cost nothing: Wav2Lip's gives its crop back, GFPGAN's inverts."""
    folder = tmp_path_factory.mktemp("simple")
    models = home_with(write_echo(folder / "echo.onnx"), folder).models
    ModelInstaller(ModelStore(models)).import_file("gfpgan", write_scaling_network(folder / "negative.onnx", -1.0))
    return models


@pytest.fixture
def serve(tmp_path: Path, settings: MakeSettings) -> Callable[[Path], Service]:
    return lambda models: Service(tmp_path, models, settings)


def assert_same_as_lip_sync(
    service: Service, models: Path, options: JobOptions, video: Path, audio: Path
) -> FrameCounts:
    """Run both ways and compare every frame and the counts; returns the counts."""
    folder = video.parent
    counts = service.run(options, video, audio, folder / "service.mp4")
    workspace = Workspace(models=models, cache=folder / "local-cache")
    report = lip_sync(video, audio, folder / "local.mp4", options, workspace)
    assert counts == report.frames
    (frames, sound), (local_frames, local_sound) = content(folder / "service.mp4"), content(folder / "local.mp4")
    assert len(frames) == len(local_frames) == counts.total
    assert [number for number, pair in enumerate(zip(frames, local_frames, strict=True)) if pair[0] != pair[1]] == []
    assert sound == local_sound
    return counts


@needs_torch
def test_wav2lip_through_the_service_gives_the_same_frames(
    serve: Callable[[Path], Service], seeded: Path, video: Path, audio: Path
) -> None:
    options = JobOptions(model="wav2lip", end_s=Fraction(9, 10))  # three frames longer than the video
    counts = assert_same_as_lip_sync(serve(seeded), seeded, options, video, audio)
    assert counts.synced == 27


@pytest.mark.parametrize(
    "options",
    [
        JobOptions(model="viseme"),
        JobOptions(model="viseme", start_s=Fraction(1, 3), end_s=Fraction(2, 3), extend="loop", crf=0, expression=0.5),
        JobOptions(model="viseme", enhance_quality=True, end_s=Fraction(1, 5)),
        JobOptions(model="wav2lip", blend="feather", extend="freeze"),
        JobOptions(model="wav2lip", enhance_quality=True, end_s=Fraction(1, 5)),
    ],
    ids=["viseme", "viseme cut", "viseme enhanced", "wav2lip feather", "wav2lip enhanced"],
)
def test_a_job_through_the_service_gives_the_same_frames(
    options: JobOptions, serve: Callable[[Path], Service], simple: Path, video: Path, audio: Path
) -> None:
    counts = assert_same_as_lip_sync(serve(simple), simple, options, video, audio)
    assert counts.synced == counts.total > 0


def test_a_track_that_could_not_be_kept_at_first_is_kept_by_the_next_try(
    serve: Callable[[Path], Service], simple: Path, video: Path, audio: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    options, service, put = JobOptions(model="viseme"), serve(simple), Storage.put_shared
    with service.machine("gpu", options, is_inferring=True) as job:
        inference = open_inference(job, fetched(job, video, audio), load_gpu_pool_parts(job))
        with job.log.stage("listen") as meter:
            heard = hear(inference, meter)
        monkeypatch.setattr(Storage, "put_shared", stopping)
        with pytest.raises(TransientError), job.log.stage("track") as meter:
            track_clip(inference, heard.end_s, meter, ignore)
        monkeypatch.setattr(Storage, "put_shared", put)
        with job.log.stage("track") as meter:
            track = track_clip(inference, heard.end_s, meter, ignore)
        assert not track.was_cached
    with service.machine("cpu", options) as job:
        assert len(read_clip(job, track).track) == FRAMES


def stopping(*_: object) -> None:
    raise TransientError("the S3 server stops", "wait")


@pytest.fixture
def film(clip: Path, tmp_path: Path, ffmpeg: Ffmpeg) -> Path:
    """Two pictures of a face, the second flipped and smaller; half a second of German and .8 s of English speech."""
    path = tmp_path / "film.mkv"
    ffmpeg(
        *("-i", clip, "-t", "0.5", "-i", SPEECH, "-ss", "3", "-i", SPEECH, "-t", "0.8"),
        *(
            "-filter_complex",
            "[0:v]split[a][b];[b]hflip,scale=384:216[c]",
            "-map",
            "[a]",
            "-map",
            "[c]",
            "-map",
            "1",
            "-map",
            "2",
        ),
        *("-c:v", "libx264", "-crf", "10", "-c:a", "pcm_s16le"),
        *("-metadata:s:a:0", "language=ger", "-metadata:s:a:1", "language=eng", path),
    )
    return path


@pytest.mark.parametrize(
    "options",
    first_of(
        [
            JobOptions(model="viseme", video_track="1", audio_track="de"),
            JobOptions(model="viseme", video_track="0", audio_track="eng", fps=Fraction(10)),
            JobOptions(model="viseme", deinterlace="on", audio_track="1", end_s=Fraction(1, 2)),
            JobOptions(model="viseme", max_size=(200, 200), pix_fmt="yuv444p", end_s=Fraction(1, 2)),
            JobOptions(model="viseme", keep_depth=True, end_s=Fraction(1, 5)),
        ],
        3,
    ),
    ids=["tracks", "rate", "deinterlaced", "size and format", "depth"],
)
def test_tracks_and_pictures_through_the_service_are_those_of_the_command_line(
    options: JobOptions, serve: Callable[[Path], Service], simple: Path, film: Path
) -> None:
    counts = assert_same_as_lip_sync(serve(simple), simple, options, film, film)
    assert counts.synced == counts.total > 0


def test_jobs_that_differ_in_a_track_or_its_reading_share_nothing_that_is_stored(
    serve: Callable[[Path], Service], simple: Path, film: Path, tmp_path: Path
) -> None:
    plain = JobOptions(model="viseme", end_s=Fraction(2, 5))
    choices = {
        "plain": plain,
        "picture": replace(plain, video_track="1"),
        "sound": replace(plain, audio_track="1"),
        "fields": replace(plain, deinterlace="on"),
        "rate": replace(plain, fps=Fraction(50)),
    }
    service = serve(simple)
    stored, made = {}, {}
    for name, options in choices.items():
        stored[name] = service.infer(options, film, film)
        service.render(options, film, film, stored[name], tmp_path / f"{name}.mp4")
        made[name] = content(tmp_path / f"{name}.mp4")
    assert len({each.edits.url for each in stored.values()}) == len(choices)
    assert not any(each.edits.was_cached for each in stored.values())
    assert {name for name, each in stored.items() if each.track.was_cached} == {"sound", "rate"}
    for name, options in choices.items():  # what is stored of the others changes no frame and no sound
        lip_sync(film, film, tmp_path / "local.mp4", options, Workspace(models=simple, cache=tmp_path / name))
        assert made[name] == content(tmp_path / "local.mp4")
        assert name == "plain" or made[name] != made["plain"]


def test_the_same_track_by_number_and_by_language_is_worked_on_once(
    serve: Callable[[Path], Service], simple: Path, film: Path
) -> None:
    service = serve(simple)
    for one, other, seconds in ((None, "ger", Fraction(1, 2)), ("1", "en", Fraction(4, 5))):
        first = service.infer(JobOptions(model="viseme", audio_track=one), film, film)
        again = service.infer(JobOptions(model="viseme", audio_track=other), film, film)
        assert (first.edits.was_cached, again.edits.was_cached) == (False, True)
        assert first.track.sound_end_s == again.track.sound_end_s == seconds


@pytest.mark.parametrize("field", ["video_track", "audio_track"])
def test_a_job_fails_when_a_file_lacks_the_track_with_the_words_of_the_command_line(
    field: str, serve: Callable[[Path], Service], simple: Path, film: Path, tmp_path: Path
) -> None:
    options = JobOptions(model="viseme", **{field: "fr"})
    with serve(simple).machine("cpu", options) as job, pytest.raises(OptionError) as served:
        fetched(job, film, film)
    with pytest.raises(OptionError) as local:
        lip_sync(film, film, tmp_path / "out.mp4", options, Workspace(simple, tmp_path / "local-cache"))
    assert str(served.value) == str(local.value)


@pytest.mark.parametrize("model", ["viseme", "wav2lip"])
@pytest.mark.parametrize("sound_s", [0.3, 1.5])
def test_a_job_as_long_as_the_video_gives_the_same_frames(
    sound_s: float, model: str, serve: Callable[[Path], Service], simple: Path, video: Path, tmp_path: Path
) -> None:
    audio = spoken(tmp_path / "speech.wav", sound_s)
    options = JobOptions(model=model, length="video")
    counts = assert_same_as_lip_sync(serve(simple), simple, options, video, audio)
    assert counts.total == FRAMES


@pytest.mark.parametrize("model", ["viseme", "wav2lip"])
def test_frames_without_a_face_pass_through_the_service(
    model: str, serve: Callable[[Path], Service], simple: Path, clip: Path, audio: Path, tmp_path: Path, ffmpeg: Ffmpeg
) -> None:
    video = tmp_path / "blanked.mp4"
    ffmpeg("-i", clip, "-vf", "drawbox=color=gray:t=fill:enable='between(n,6,10)'", "-an", "-crf", "10", video)
    counts = assert_same_as_lip_sync(serve(simple), simple, JobOptions(model=model), video, audio)
    assert counts.passed_no_face >= 5 and counts.synced >= 20


@pytest.mark.parametrize("model", ["viseme", "wav2lip"])
def test_what_is_done_is_not_done_again(
    model: str, serve: Callable[[Path], Service], simple: Path, video: Path, audio: Path, tmp_path: Path
) -> None:
    service, options = serve(simple), JobOptions(model=model, end_s=Fraction(3, 10))
    first, again = (service.infer(options, video, audio) for _ in range(2))
    assert (first.track.was_cached, first.edits.was_cached) == (False, False)
    assert (again.track.was_cached, again.edits.was_cached) == (True, True)
    assert (again.track.url, again.edits.url) == (first.track.url, first.edits.url)
    for number, inferred in enumerate((first, again)):
        service.render(options, video, audio, inferred, tmp_path / f"{number}.mp4")
    assert content(tmp_path / "0.mp4") == content(tmp_path / "1.mp4")


def test_a_job_that_dies_on_the_way_to_its_target_renders_nothing_twice(
    serve: Callable[[Path], Service], simple: Path, video: Path, audio: Path, tmp_path: Path
) -> None:
    service, options, job_id = serve(simple), JobOptions(model="viseme", end_s=Fraction(3, 10)), uuid4()
    inferred = service.infer(options, video, audio)
    with service.machine("cpu", options) as job:
        inputs = fetched(job, video, audio)
        first = open_render(job, inputs, inferred, encoder_for(job, inputs), job_id, ".mp4")
        rendered(first)
        made = first.output.read_bytes()
        with pytest.raises(UrlRefusedError):
            deliver(first, "file:///where/no/job/may/write.mp4")
    with service.machine("another cpu", options) as job:
        inputs = fetched(job, video, audio)
        again = open_render(job, inputs, inferred, encoder_for(job, inputs), job_id, ".mp4")
        assert again.is_kept and again.output.read_bytes() == made
        deliver(again, (tmp_path / "out.mp4").as_uri())
        assert (tmp_path / "out.mp4").read_bytes() == made
        assert not job.files.exists(again.kept_url)
        assert not open_render(job, inputs, inferred, encoder_for(job, inputs), job_id, ".mp4").is_kept
        assert not open_render(job, inputs, inferred, encoder_for(job, inputs), uuid4(), ".mp4").is_kept


def test_a_service_that_insists_keeps_a_movie_that_could_not_be_signed_and_signs_it_later(
    serve: Callable[[Path], Service], simple: Path, settings: MakeSettings, video: Path, audio: Path, tmp_path: Path
) -> None:
    service, options, job_id = serve(simple), JobOptions(model="viseme", end_s=Fraction(3, 10)), uuid4()
    inferred = service.infer(options, video, audio)
    names = {"video": video.as_uri(), "audio": audio.as_uri(), "output": "s3://results/some/where/out.mp4"}
    request = LipSyncRequest.model_validate(names)
    late = settings(provenance="required", signing_timestamp_url="http://127.0.0.1:9/stamp")
    with service.machine("cpu", options) as job:
        inputs = fetched(job, video, audio)
        first = open_render(job, inputs, inferred, encoder_for(job, inputs), job_id, ".mp4")
        rendered(first)
        made = content(first.output)
        signing = open_signing(request, late)
        assert signing is not None
        told = sign_result(first, request, replace(signing, is_required=False), StageMeter())
        assert told.account.startswith("not signed: SIGNING_FAILED: out.mp4 could not be signed: ")
        assert not job.files.exists(first.kept_url)
        with pytest.raises(SigningError, match="the movie is kept: run the job again"):
            sign_result(first, request, signing, StageMeter())
    with service.machine("another cpu", options) as job:
        inputs = fetched(job, video, audio)
        again = open_render(job, inputs, inferred, encoder_for(job, inputs), job_id, ".mp4")
        assert again.is_kept and content(again.output) == made
        signing, meters = open_signing(request, settings(provenance="required")), (StageMeter(), StageMeter())
        assert signing is not None
        told = Provenance(signing.credential.subject, is_self_made=True)
        assert [sign_result(again, request, signing, meter) for meter in meters] == [told, told]
        assert [meter.was_cached for meter in meters] == [False, True]
        assert content(again.output) == made
        found = verification_of(again.output)
        altered = replace(again, output=tmp_path / "altered.mp4")
        altered.output.write_bytes(again.output.read_bytes().replace(b"compositeWithTrained", b"compositeWithUntrain"))
        for is_required in (True, False):
            keep(replace(again, is_kept=False))
            assert job.files.exists(again.kept_url)
            with pytest.raises(SigningError, match="was altered while it was kept; run the job again: it is rendered"):
                sign_result(altered, request, replace(signing, is_required=is_required), StageMeter())
            assert not job.files.exists(again.kept_url)
    assert (found.state, found.title) == ("intact", "out.mp4")
    assert [(each.title, each.instance_id) for each in found.sources] == [
        (path.name, f"sha256:{hashlib.sha256(path.read_bytes()).hexdigest()}") for path in (video, audio)
    ]


def test_a_service_that_insists_refuses_a_request_without_a_signature(settings: MakeSettings) -> None:
    names = {"video": "s3://in/face.mp4", "audio": "s3://in/speech.wav", "output": "s3://out/out.mp4"}
    request = LipSyncRequest.model_validate({**names, "provenance": False})
    assert open_signing(request, settings()) is None
    with pytest.raises(OptionError, match="this service signs all results"):
        open_signing(request, settings(provenance="required"))


def test_a_track_that_is_not_there_for_a_moment_is_looked_for_again(
    serve: Callable[[Path], Service], simple: Path, video: Path, audio: Path
) -> None:
    """As `benchmarks/faults.py` saw it: the S3 server was being stopped, and a job failed at once."""
    service, options = serve(simple), JobOptions(model="viseme", end_s=Fraction(3, 10))
    inferred = service.infer(options, video, audio)
    with service.machine("cpu", options) as job:
        inputs = fetched(job, video, audio)
        job.files.discard(inferred.track.url)
        with pytest.raises(TransientError) as caught:
            plan.fn(job, inputs, inferred, encoder_for(job, inputs), uuid4(), ".mp4")
        assert caught.value.code == "NOT_FOUND"


def test_an_attempt_whose_job_has_gone_on_delivers_nothing_and_leaves_nothing(
    serve: Callable[[Path], Service], simple: Path, video: Path, audio: Path, tmp_path: Path
) -> None:
    service, options, out = serve(simple), JobOptions(model="viseme", end_s=Fraction(3, 10)), tmp_path / "out.mp4"
    out.write_text("what another attempt has delivered")
    inferred = service.infer(options, video, audio)

    def refused() -> None:
        raise SupersededError("the job has gone on")

    with service.machine("cpu", options) as job:
        inputs = fetched(job, video, audio)
        late = open_render(job, inputs, inferred, encoder_for(job, inputs), uuid4(), ".mp4")
        rendered(late)
        with pytest.raises(SupersededError):
            upload.fn(late, out.as_uri(), refused)
        assert out.read_text() == "what another attempt has delivered"
        assert not job.files.exists(late.kept_url)
        upload.fn(late, out.as_uri(), lambda: None)
        assert out.read_bytes() == late.output.read_bytes()


def test_only_what_depends_on_a_change_is_done_again(
    serve: Callable[[Path], Service], simple: Path, video: Path, audio: Path, tmp_path: Path
) -> None:
    service, options = serve(simple), JobOptions(model="viseme", end_s=Fraction(3, 10))
    first = service.infer(options, video, audio)
    other = service.infer(options, video, spoken(tmp_path / "other.wav", 0.3, start=2.0))
    assert (other.track.was_cached, other.edits.was_cached) == (True, False)
    encoded_otherwise = service.infer(replace(options, crf=30), video, audio)
    assert (encoded_otherwise.track.was_cached, encoded_otherwise.edits.was_cached) == (True, True)
    cut_otherwise = service.infer(replace(options, end_s=Fraction(1, 5)), video, audio)
    assert (cut_otherwise.track.was_cached, cut_otherwise.edits.was_cached) == (True, False)
    moved_otherwise = service.infer(replace(options, expression=0.5), video, audio)
    assert (moved_otherwise.track.was_cached, moved_otherwise.edits.was_cached) == (True, False)
    assert len({each.edits.url for each in (first, other, cut_otherwise, moved_otherwise)}) == 4


def test_a_job_through_the_service_fails_when_too_few_frames_have_a_face(
    serve: Callable[[Path], Service], simple: Path, clip: Path, audio: Path, tmp_path: Path, ffmpeg: Ffmpeg
) -> None:
    video = tmp_path / "blanked.mp4"
    ffmpeg("-i", clip, "-vf", "drawbox=color=gray:t=fill:enable='gte(n,6)'", "-an", "-crf", "10", video)
    options = JobOptions(model="viseme", min_synced=0.5)
    with pytest.raises(FaceError) as through_service:
        serve(simple).infer(options, video, audio)
    with pytest.raises(FaceError) as local:
        lip_sync(video, audio, tmp_path / "out.mp4", options, Workspace(simple, tmp_path / "local-cache"))
    assert str(through_service.value) == str(local.value).replace(str(video), "the video")


def test_blending_ends_when_the_output_cannot_be_written(
    serve: Callable[[Path], Service], simple: Path, video: Path, audio: Path, tmp_path: Path
) -> None:
    service, options = serve(simple), JobOptions(model="viseme")
    inferred = service.infer(options, video, audio)
    with pytest.raises(OutputError):
        service.render(options, video, audio, inferred, tmp_path / "nowhere" / "out.mp4")


def test_a_job_fails_when_its_worker_lacks_a_model_and_names_no_folder_of_the_worker(
    settings: MakeSettings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "home"))
    with pytest.raises(ModelMissingError) as caught, open_job(JobOptions(), settings()) as job:
        load_gpu_pool_parts(job)
    assert str(tmp_path) not in str(caught.value)
    assert str(caught.value).startswith("model file mediapipe-face/")
    assert caught.value.remedy == "on the workers of the service, run: lipsync models pull mediapipe-face"
    assert str(tmp_path / "home") in caplog.text


def test_a_job_of_the_service_has_the_limits_of_its_settings(settings: MakeSettings, audio: Path) -> None:
    chosen = settings(max_sample_rate_hz=5000, allow_demuxers="nut")
    with open_job(JobOptions(), chosen) as job, pytest.raises(SampleRateLimitError, match="not 4000 to 5000"):
        assert job.max_input_s == limits().max_duration_s == 3600
        assert "nut" in allowed().demuxers
        require_audio(audio)
    assert require_audio(audio)
    with pytest.raises(DiskLimitError), open_job(JobOptions(), settings(min_free_bytes=1 << 62)):
        pass


def test_rendering_fails_when_the_stored_edits_are_of_another_job(
    serve: Callable[[Path], Service], simple: Path, video: Path, audio: Path, tmp_path: Path
) -> None:
    service, options = serve(simple), JobOptions(model="viseme")
    inferred = service.infer(options, video, audio)
    short = service.infer(replace(options, end_s=Fraction(1, 5)), video, audio)
    with pytest.raises(ChecksumError, match="6 stored edits for 30 frames"):
        service.render(options, video, audio, replace(inferred, edits=short.edits), tmp_path / "out.mp4")
    assert not (tmp_path / "out.mp4").exists()
    assert np.load(Path(short.edits.url.removeprefix("file://"))).shape[0] == 6


def test_a_job_fails_before_any_work_when_the_output_cannot_hold_a_copy_of_the_sound(
    serve: Callable[[Path], Service], simple: Path, video: Path, tmp_path: Path, ffmpeg: Ffmpeg
) -> None:
    flac = tmp_path / "sound.flac"
    ffmpeg("-i", SPEECH, flac)
    with serve(simple).machine("cpu", JobOptions(audio_codec="copy")) as job:
        inputs = fetched(job, video, flac)
        check_sound_of(job, inputs, ".mp4")
        with pytest.raises(OptionError, match="mov does not take flac") as caught:
            check_sound_of(job, inputs, ".mov")
    assert flac.as_uri() in str(caught.value)  # and not this machine's copy of it
    assert str(inputs.audio.path) not in str(caught.value)


def test_a_stage_tells_what_became_of_the_picture_and_the_sound(
    serve: Callable[[Path], Service], simple: Path, film: Path, tmp_path: Path
) -> None:
    options = JobOptions(model="viseme", end_s=Fraction(1, 5), max_size=(200, 200), deinterlace="on")
    service = serve(simple)
    inferred = service.infer(options, film, film)
    with service.machine("cpu", options) as job:
        inputs = fetched(job, film, film)
        render = open_render(job, inputs, inferred, encoder_for(job, inputs), uuid4(), ".mp4")
        rendered(render)
    [note] = [run.note for run in job.log.runs if run.stage == "encode"]
    local = lip_sync(film, film, tmp_path / "local.mp4", options, Workspace(simple, tmp_path / "local-cache"))
    assert local.changes == ("deinterlaced", "scaled from 512x288 to 200x112")
    assert local.dropped == ("1 further video track", "1 further audio track")
    assert note == f"picture {', '.join(local.changes)}; sound {local.audio}; dropped {', '.join(local.dropped)}"


def test_all_that_fetch_learns_of_the_video_travels_with_it(
    serve: Callable[[Path], Service], simple: Path, video: Path
) -> None:
    with serve(simple).machine("cpu", JobOptions()) as job:
        source = fetch_video.fn(job, video.as_uri())
        assert source.known_sha256 == hashlib.sha256(video.read_bytes()).hexdigest()
        assert source.info == require_video(video)
        source.path.unlink()  # the sum is known, so nothing has to be read for it
        assert source.sha256() == source.known_sha256


def test_an_input_that_a_stopping_server_denies_is_worth_another_try(
    settings: MakeSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    answers: list[Exception] = [ObjectMissingError("it answers NoSuchKey"), TransientError("it does not answer")]

    @contextmanager
    def fetch(_storage: Storage, url: str) -> Iterator[Any]:
        yield from ()
        raise answers.pop(0)

    monkeypatch.setattr(Storage, "fetch", fetch)
    monkeypatch.setattr("tasks.stages.LOOKS_AGAIN_AFTER_S", (0.0, 0.0))
    with open_job(JobOptions(), settings()) as job:
        with pytest.raises(TransientError, match="does not answer"):
            fetch_video.fn(job, "s3://bucket/video.mp4")
        answers += [ObjectMissingError(f"look {number}") for number in (1, 2, 3)]
        with pytest.raises(ObjectMissingError, match="look 3"):
            fetch_video.fn(job, "s3://bucket/video.mp4")
        answers[:] = [ObjectMissingError("no such file")]
        with pytest.raises(ObjectMissingError, match="no such file"):
            fetch_video.fn(job, "file:///video.mp4")


def test_a_stage_fails_with_a_code_when_memory_runs_out(settings: MakeSettings) -> None:
    with (
        open_job(JobOptions(), settings()) as job,
        pytest.raises(MemoryShortageError, match="memory ran out") as failure,
        job.stage("blend"),
    ):
        np.empty(1 << 60, np.uint8)
    assert failure.value.code == "OUT_OF_MEMORY"


def test_a_job_fails_with_a_code_when_memory_runs_out_between_its_stages(settings: MakeSettings) -> None:
    with pytest.raises(MemoryShortageError, match="memory ran out"), open_job(JobOptions(), settings()):
        av.error.err_check(-errno.ENOMEM)
