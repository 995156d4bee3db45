"""Each warning comes where it should, and nowhere else."""

from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from lipsync_core import JobOptions
from lipsync_core.audio.speech_encoder import SpeechEncoder
from lipsync_core.clock import StageClock
from lipsync_core.errors import InputMissingError, NoAudioError, PreflightError
from lipsync_core.face.detect import FaceDetector
from lipsync_core.face.mediapipe import MODEL
from lipsync_core.face.mesh import FaceMesh, MeshFitter
from lipsync_core.face.survey import FaceSurvey, SeenFaces
from lipsync_core.isolation.room import reading_room
from lipsync_core.media.source_frame import SourceFrame
from lipsync_core.models.store import ModelStore
from lipsync_core.option_specs import Deinterlace
from lipsync_core.preflight.check import Preflight, check
from lipsync_core.preflight.judging import sound_warnings, video_warnings
from lipsync_core.preflight.picture import FaceState, look
from lipsync_core.preflight.sound import SoundAccount, hear
from lipsync_core.source_video import SourceVideo
from tests.conftest import Ffmpeg
from tests.face.conftest import pictures_of
from tests.face.masks import COLOURS, masked
from tests.preflight.conftest import LONG_SOUNDS, MakeInput

VIDEOS = {
    "good": (),
    "two people": ("MANY_FACES",),
    "a person and a crowd": (),
    "30 px": ("FACE_SMALL",),
    "60 px": ("FACE_SMALL",),
    "120 px": (),
    "cropped chin": ("FACE_CUT_OFF",),
    "cropped cheek": ("FACE_CUT_OFF",),
    "late face": ("FACE_MISSING",),
    "leaving face": ("FACE_MISSING",),
    "blank moment": (),
    "upside down": ("UPSIDE_DOWN",),
    "sideways": ("SIDEWAYS",),
    "black": ("NO_FACE_FOUND", "TOO_DARK"),
    "dark": ("TOO_DARK",),
    "nobody": ("NO_FACE_FOUND",),
    "interlaced": ("INTERLACED",),
    "truncated": ("VIDEO_TRUNCATED",),
}
SOUNDS = {
    "speech": (),
    "stereo speech": (),
    "one silent channel": ("CHANNEL_SILENT",),
    "inverse channels": ("CHANNEL_INVERTED",),
    "clipped": ("AUDIO_CLIPPED",),
    "quiet": ("AUDIO_QUIET",),
    "silent": ("AUDIO_SILENT",),
    "tone": ("NO_SPEECH",),
}
#: The warnings of the real clips. The film has cuts to the back of a head, and people side by side.
CLIPS = {
    "facerec_short_hamilton_clip.mp4": ("FACE_MISSING", "MANY_FACES"),
    "latentsync_demo1_video.mp4": (),
    "liveportrait_d3.mp4": (),
    "liveportrait_s13.mp4": (),
    "liveportrait_s20.mp4": (),
    "retalking_face1.mp4": (),
    "retalking_face3.mp4": (),
    "sadtalker_WDA_AlexandriaOcasioCortez_000.mp4": (),
}
RECORDINGS = ("latentsync_demo1_audio.wav", "retalking_audio1.wav", "sadtalker_imagine.wav")


def codes(preflight: Preflight) -> tuple[str, ...]:
    return tuple(str(each.code) for each in preflight.found)


@pytest.mark.parametrize("name", VIDEOS)
def test_a_video_gives_the_warnings_of_its_faults_alone(
    name: str, faulty_video: MakeInput, model_store: ModelStore
) -> None:
    assert codes(check(faulty_video(name), None, JobOptions(), model_store)) == VIDEOS[name]


@pytest.mark.parametrize("name", LONG_SOUNDS)
def test_a_few_words_in_silence_are_speech_at_their_own_level(
    name: str, faulty_sound: MakeInput, model_store: ModelStore
) -> None:
    account, found = heard(faulty_sound(name), model_store)
    alone, _ = heard(faulty_sound("as it is"), model_store)
    assert (account.duration_s, found) == (30, ())
    assert account.level_db == pytest.approx(alone.level_db, abs=2)
    assert account.speech_share < 0.1


def test_a_word_in_an_hour_is_no_silence() -> None:
    assert codes_of(replace(SOUND, duration_s=Fraction(3600), audible_share=0.001, speech_share=0.0009)) == ()
    assert codes_of(replace(SOUND, duration_s=Fraction(3600), audible_share=0.0001)) == ("AUDIO_SILENT",)
    assert codes_of(replace(SOUND, audible_share=0.009)) == ("AUDIO_SILENT",)


SOUND = SoundAccount(
    duration_s=Fraction(10),
    channels=1,
    level_db=-12.0,
    peak_db=-3.0,
    audible_share=0.8,
    speech_share=0.7,
    clipped_per_s=0.0,
    silent_channel=None,
    inverse_share=0.0,
)


def codes_of(account: SoundAccount) -> tuple[str, ...]:
    return tuple(str(each.code) for each in sound_warnings(account, None, account.duration_s))


def heard(sound: Path, models: ModelStore) -> tuple[SoundAccount, tuple[str, ...]]:
    encoder = SpeechEncoder.open(models.open_usable("speech-encoder").path("encoder"))
    account = hear(sound, JobOptions(), encoder, StageClock())
    return account, codes_of(account)


@pytest.mark.parametrize("name", SOUNDS)
def test_a_sound_gives_the_warnings_of_its_faults_alone(
    name: str, faulty_sound: MakeInput, model_store: ModelStore
) -> None:
    account, found = heard(faulty_sound(name), model_store)
    assert found == SOUNDS[name]
    assert (account.speech_share > 0.5) == (name not in ("silent", "tone"))


@pytest.mark.parametrize("name", CLIPS)
def test_good_clips_give_no_warning(name: str, clips: Path, model_store: ModelStore) -> None:
    assert codes(check(clips / name, None, JobOptions(), model_store)) == CLIPS[name]


@pytest.mark.parametrize("name", RECORDINGS)
def test_good_recordings_give_no_warning(name: str, clips: Path, model_store: ModelStore) -> None:
    account, found = heard(clips / name, model_store)
    assert found == ()
    assert account.speech_share > 0.8


def test_a_mask_is_seen_on_a_still_image(face_clip: Path, model_store: ModelStore, tmp_path: Path) -> None:
    (picture,) = pictures_of(face_clip, 1)
    bare, still = tmp_path / "bare.png", tmp_path / "masked.png"
    Image.fromarray(picture).save(bare)
    (mesh,) = meshes_of(bare, model_store)
    Image.fromarray(masked(picture, mesh.points, COLOURS["surgical"])).save(still)
    assert codes(check(bare, None, JobOptions(), model_store)) == ()
    assert codes(check(still, None, JobOptions(), model_store)) == ("FACE_COVERED",)


def meshes_of(video: Path, models: ModelStore) -> tuple[FaceMesh, ...]:
    seen: list[SeenFaces] = []

    class Keeping(FaceSurvey):
        def look(self, frame: SourceFrame) -> SeenFaces:
            seen.append(super().look(frame))
            return seen[-1]

    look(SourceVideo.probed(video), None, Keeping(*networks(models), None), None, StageClock())
    return seen[0].meshes


def networks(models: ModelStore) -> tuple[FaceDetector, MeshFitter]:
    installed = models.open_usable(MODEL)
    return FaceDetector(installed.path("full_range")), MeshFitter(installed.path("face_landmark"))


@pytest.mark.parametrize(("turn", "expected"), [(0.2, []), (0.5, ["FACE_TURNED"])])
def test_a_head_that_is_turned_away_is_told(
    turn: float, expected: list[str], faulty_video: MakeInput, model_store: ModelStore
) -> None:
    """By the same measure as the job: the portrait looks at the camera, so its nose is moved."""

    class Turning(FaceSurvey):
        def look(self, frame: SourceFrame) -> SeenFaces:
            seen = super().look(frame)
            points = seen.meshes[0].points.copy()
            points[4, 0] = points[[33, 263], 0].mean() + turn * np.linalg.norm(points[33] - points[263])
            return replace(seen, meshes=(replace(seen.meshes[0], points=points),))

    picture = look(
        SourceVideo.probed(faulty_video("good")), None, Turning(*networks(model_store), None), None, StageClock()
    )
    assert [str(each.code) for each in video_warnings(picture, None)] == expected


def test_a_face_is_chosen_as_the_job_chooses_it(faulty_video: MakeInput, model_store: ModelStore) -> None:
    two = faulty_video("two people")
    first, second, third = (check(two, None, JobOptions(face=face), model_store) for face in (0, 1, 2))
    assert (first.picture.face_number, codes(first)) == (0, ())
    assert (second.picture.face_number, codes(second)) == (1, ())
    assert (third.picture.face_number, codes(third)) == (None, ("NO_FACE_FOUND",))
    assert third.picture.most_faces == 2
    assert third.picture.count(FaceState.MISSING) == len(third.picture.frames)


def test_the_size_of_the_face_is_told_in_pixels(faulty_video: MakeInput, model_store: ModelStore) -> None:
    found = check(faulty_video("120 px"), None, JobOptions(), model_store).picture
    assert found.face_size_px == pytest.approx(120, abs=6)
    assert found.share(FaceState.USABLE) == 1.0


def test_a_video_that_is_stored_turned_stands_upright(
    faulty_video: MakeInput, model_store: ModelStore, tmp_path: Path, ffmpeg: Ffmpeg
) -> None:
    tagged = tmp_path / "phone.mp4"
    ffmpeg("-display_rotation", "-270", "-i", faulty_video("sideways"), "-c", "copy", tagged)
    found = check(tagged, None, JobOptions(), model_store)
    assert codes(found) == ()
    assert (found.picture.width_px, found.picture.height_px) == (640, 360)


def test_a_sound_that_is_longer_than_the_video_is_noted_and_stops_nothing(
    faulty_video: MakeInput, faulty_sound: MakeInput, model_store: ModelStore
) -> None:
    found = check(faulty_video("good"), faulty_sound("speech"), JobOptions(), model_store)
    assert codes(found) == ("AUDIO_LONGER_THAN_VIDEO",)
    assert found.warnings == ()
    found.require_no_warning()


def test_only_the_part_of_the_video_that_the_sound_needs_is_looked_at(
    faulty_video: MakeInput, faulty_sound: MakeInput, model_store: ModelStore
) -> None:
    options = JobOptions(end_s=Fraction(1))
    found = check(faulty_video("leaving face"), faulty_sound("speech"), options, model_store)
    assert codes(found) == ()
    assert found.picture.seen_until_s == 1


@pytest.mark.parametrize("asked", ["on", "off"])
def test_a_video_is_interlaced_by_its_pictures_and_not_by_the_option(
    asked: Deinterlace, faulty_video: MakeInput, model_store: ModelStore
) -> None:
    name = "good" if asked == "on" else "interlaced"
    found = codes(check(faulty_video(name), None, JobOptions(deinterlace=asked), model_store))
    assert found == VIDEOS[name]


def test_a_strict_job_names_the_warnings(faulty_video: MakeInput, model_store: ModelStore) -> None:
    with pytest.raises(PreflightError, match=r"FACE_SMALL \(\d+ of \d+ frames, \d+ pixels\); .* higher resolution"):
        check(faulty_video("60 px"), None, JobOptions(), model_store).require_no_warning()


def test_what_is_found_apart_is_the_same(
    faulty_video: MakeInput, faulty_sound: MakeInput, model_store: ModelStore
) -> None:
    inputs = (faulty_video("leaving face"), faulty_sound("one silent channel"), JobOptions(), model_store)
    with reading_room("all"):
        apart = check(*inputs)
    assert apart == check(*inputs)


def test_check_fails_where_an_input_cannot_be_read(
    faulty_video: MakeInput, model_store: ModelStore, tmp_path: Path
) -> None:
    with pytest.raises(InputMissingError):
        check(tmp_path / "none.mp4", None, JobOptions(), model_store)
    with pytest.raises(NoAudioError):
        check(faulty_video("good"), faulty_video("good"), JobOptions(), model_store)
