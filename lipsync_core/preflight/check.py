"""The preflight of a job: looks at its video and hears its sound before the work, and warns of what would spoil it.

It reads a part of the video, and decides by the same detector, mesh and thresholds as the job itself.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from lipsync_core.audio.speech_encoder import MODEL as SPEECH_MODEL
from lipsync_core.audio.speech_encoder import SpeechEncoder
from lipsync_core.clock import StageClock
from lipsync_core.errors import PreflightError
from lipsync_core.face.detect import FaceDetector
from lipsync_core.face.mediapipe import MODEL as FACE_MODEL
from lipsync_core.face.mesh import MeshFitter
from lipsync_core.face.survey import FaceSurvey
from lipsync_core.media.probe import require_audio
from lipsync_core.models.store import ModelStore
from lipsync_core.options import JobOptions
from lipsync_core.preflight.codes import PreflightWarning
from lipsync_core.preflight.judging import sound_warnings, video_warnings
from lipsync_core.preflight.picture import PictureAccount, look
from lipsync_core.preflight.sheet import ContactSheet
from lipsync_core.preflight.sound import SoundAccount, hear
from lipsync_core.source_video import SourceVideo
from lipsync_core.timeline import source_s_needed


@dataclass(frozen=True, slots=True)
class Preflight:
    """What was found of the inputs of a job."""

    picture: PictureAccount
    sound: SoundAccount | None
    face: int | None  # that was asked for; None: the largest
    found: tuple[PreflightWarning, ...]  # warnings and notes, in the order of `WarningCode`

    @property
    def warnings(self) -> tuple[PreflightWarning, ...]:
        """What stops a strict job."""
        return tuple(each for each in self.found if not each.is_note)

    def require_no_warning(self) -> None:
        """Stop a strict job.

        Raises:
            PreflightError: there is a warning.
        """
        if self.warnings:
            named = "; ".join(f"{each.code} ({each.detail})" for each in self.warnings)
            remedies = dict.fromkeys(each.remedy for each in self.warnings)
            raise PreflightError(f"the preflight warns: {named}", "; ".join((*remedies, "or leave out --strict")))


def check(
    video: Path,
    audio: Path | None,
    options: JobOptions,
    models: ModelStore,
    clock: StageClock | None = None,
    sheet: ContactSheet | None = None,
) -> Preflight:
    """Look at `video` and hear `audio` as a job of these `options` would use them.

    Args:
        video: any video or still image that FFmpeg reads.
        audio: any file with sound; None: the sound is not known yet, and the whole video is looked at.
        options: see `JobOptions`; those of the result's encoding are of no consequence.
        models: where the face model and, for a sound, the speech encoder are installed.
        clock: times the stages "probe", "decode", "look", "audio" and "listen".
        sheet: takes the frames that were looked at.

    Raises:
        InputError: an input cannot be read, as in a job.
        ModelError: a model is not installed, or damaged.
    """
    clock = clock or StageClock()
    with clock.stage("probe"):
        # Woven pictures are worth a warning whether or not the job makes them whole.
        source = SourceVideo.probed(video, replace(options, deinterlace="auto")).reduced_for(options)
        if audio is not None:
            require_audio(audio, options.audio_track)
    sound = None if audio is None else hear(audio, options, _speech_encoder(models), clock)
    needed_s = None if sound is None else source_s_needed(options.start_s + sound.duration_s, options)
    picture = look(source, needed_s, _survey(models, options.face), sheet, clock)
    found = _found(picture, sound, options, is_still=source.info.is_still)
    return Preflight(picture, sound, options.face, tuple(found))


def _found(
    picture: PictureAccount, sound: SoundAccount | None, options: JobOptions, *, is_still: bool
) -> Iterator[PreflightWarning]:
    yield from video_warnings(picture, options.face)
    if sound is not None:
        length_s = None if is_still or options.length == "video" else picture.duration_s
        yield from sound_warnings(sound, length_s, options.start_s + sound.duration_s)


def _speech_encoder(models: ModelStore) -> SpeechEncoder:
    return SpeechEncoder.open(models.open_usable(SPEECH_MODEL).path("encoder"))


def _survey(models: ModelStore, face: int | None) -> FaceSurvey:
    installed = models.open_usable(FACE_MODEL)
    return FaceSurvey(FaceDetector(installed.path("full_range")), MeshFitter(installed.path("face_landmark")), face)
