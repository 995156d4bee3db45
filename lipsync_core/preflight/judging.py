"""Which of the things that the preflight has found are worth a warning."""

from collections.abc import Iterator
from fractions import Fraction

from lipsync_core.preflight.codes import PreflightWarning, WarningCode
from lipsync_core.preflight.picture import FaceState, PictureAccount
from lipsync_core.preflight.sound import SoundAccount

_MANY = 0.1  # of the samples; a glance to the side or a fade is less
_FEW = 3  # samples or fewer: each counts; of more a single one does not
_MANY_DARK = 0.25  # of the samples: videos fade in from black
_SLACK_S, _SLACK = Fraction(1), Fraction(1, 20)  # a header may be wrong by so much, the larger of both
_UPSIDE_DOWN_DEG, _SIDEWAYS_DEG = 135, 45
_SILENT, _SILENT_S = 0.01, 1.0  # of the time, and in all: a word in an hour is no silence
_QUIET_DB = -40.0  # at -42 dB of its loudest part a fourth of a speech is below the generator's gate
_NO_SPEECH = 0.05  # of what is heard
_CLIPPED_PER_S = 1.0  # speech that is 6 dB too loud has 7 a second, and good recordings none
_INVERTED = 0.5
_LONGER = Fraction(3, 2)  # a few frames more are not seen
_STATES = {
    FaceState.MISSING: WarningCode.FACE_MISSING,
    FaceState.TURNED: WarningCode.FACE_TURNED,
    FaceState.COVERED: WarningCode.FACE_COVERED,
    FaceState.CUT_OFF: WarningCode.FACE_CUT_OFF,
    FaceState.SMALL: WarningCode.FACE_SMALL,
}


def video_warnings(picture: PictureAccount, face: int | None) -> Iterator[PreflightWarning]:
    """The warnings of a video of which the face `face` was looked for; None: the largest."""
    if picture.followed:
        yield from _face_warnings(picture, face)
    else:
        wanted = "no face" if face is None else f"no face with the number {face}"
        detail = f"{wanted} in {len(picture.frames)} frames, {counted(picture.most_faces, 'face')} at most"
        yield PreflightWarning(WarningCode.NO_FACE_FOUND, detail)
    looked_at = picture.followed or picture.frames  # black frames before a face appears lack the face alone
    dark = sum(frame.is_dark for frame in looked_at)
    if dark > _MANY_DARK * len(looked_at):
        yield PreflightWarning(WarningCode.TOO_DARK, _of(dark, picture))
    yield from _way_up_warnings(picture)
    if picture.is_interlaced:
        yield PreflightWarning(WarningCode.INTERLACED, f"{picture.width_px}x{picture.height_px}")
    if picture.is_whole and picture.duration_s is not None:
        missing_s = picture.duration_s - picture.seen_until_s
        if missing_s > max(_SLACK_S, _SLACK * picture.duration_s):
            detail = f"pictures until {float(picture.seen_until_s):.1f} s of {float(picture.duration_s):.1f} s"
            yield PreflightWarning(WarningCode.VIDEO_TRUNCATED, detail)


def _face_warnings(picture: PictureAccount, face: int | None) -> Iterator[PreflightWarning]:
    for state, code in _STATES.items():
        count = picture.count(state)
        if _is_often(count, picture):
            detail = _of(count, picture)
            if state is FaceState.SMALL:
                detail += f", {picture.face_size_px:.0f} pixels"
            yield PreflightWarning(code, detail)
    crowded = sum(frame.rivals > 0 for frame in picture.frames)
    if face is None and _is_often(crowded, picture):
        detail = f"{_of(crowded, picture)}; number {picture.face_number} from the left is the largest"
        yield PreflightWarning(WarningCode.MANY_FACES, detail)


def _way_up_warnings(picture: PictureAccount) -> Iterator[PreflightWarning]:
    rolls_deg = [abs(frame.roll_deg) for frame in picture.followed if frame.roll_deg is not None]
    upside_down = sum(roll_deg > _UPSIDE_DOWN_DEG for roll_deg in rolls_deg)
    sideways = sum(roll_deg > _SIDEWAYS_DEG for roll_deg in rolls_deg) - upside_down
    if 2 * upside_down > len(rolls_deg):
        yield PreflightWarning(WarningCode.UPSIDE_DOWN, _of(upside_down, picture))
    if 2 * sideways > len(rolls_deg):
        yield PreflightWarning(WarningCode.SIDEWAYS, _of(sideways, picture))


def sound_warnings(sound: SoundAccount, length_s: Fraction | None, needed_s: Fraction) -> Iterator[PreflightWarning]:
    """The warnings of a sound that needs `needed_s` of a video of `length_s`; None: its length is of no consequence."""
    if sound.audible_share * float(sound.duration_s) < min(_SILENT * float(sound.duration_s), _SILENT_S):
        yield PreflightWarning(WarningCode.AUDIO_SILENT, f"{sound.level_db:.0f} dB below full scale".replace("-", ""))
    else:
        yield from _heard_warnings(sound)
    if length_s is not None and needed_s > _LONGER * length_s:
        detail = f"{float(needed_s):.1f} s of sound, {float(length_s):.1f} s of video"
        yield PreflightWarning(WarningCode.AUDIO_LONGER_THAN_VIDEO, detail)


def _heard_warnings(sound: SoundAccount) -> Iterator[PreflightWarning]:
    if sound.speech_share < _NO_SPEECH * sound.audible_share:
        share = sound.speech_share / sound.audible_share
        yield PreflightWarning(WarningCode.NO_SPEECH, f"speech in {_percent(share)} of what is heard")
    if sound.level_db < _QUIET_DB:
        yield PreflightWarning(WarningCode.AUDIO_QUIET, f"its loudest parts are at {sound.level_db:.0f} dB")
    if sound.clipped_per_s > _CLIPPED_PER_S:
        yield PreflightWarning(WarningCode.AUDIO_CLIPPED, f"{sound.clipped_per_s:.0f} times a second")
    if sound.silent_channel is not None:
        side = ("left", "right")[sound.silent_channel]
        yield PreflightWarning(WarningCode.CHANNEL_SILENT, f"the {side} one")
    if sound.inverse_share > _INVERTED:
        yield PreflightWarning(WarningCode.CHANNEL_INVERTED, f"in {_percent(sound.inverse_share)} of the time")


def _is_often(count: int, picture: PictureAccount) -> bool:
    """Whether more than a tenth of the samples, and more than one of several, are so."""
    return count > _MANY * len(picture.frames) and (count > 1 or len(picture.frames) <= _FEW)


def _of(count: int, picture: PictureAccount) -> str:
    return f"{count} of {len(picture.frames)} frames"


def _percent(share: float) -> str:
    return f"{round(100 * share)} %"


def counted(count: int, noun: str) -> str:
    """ "1 face", "2 faces"."""
    return f"{count} {noun}{'' if count == 1 else 's'}"
