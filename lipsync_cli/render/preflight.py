"""The findings of the preflight, as text for people and as JSON for programs (described in docs/preflight.md)."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from lipsync_core.preflight.check import Preflight
from lipsync_core.preflight.codes import PreflightWarning
from lipsync_core.preflight.judging import counted
from lipsync_core.preflight.picture import FaceState, PictureAccount
from lipsync_core.preflight.sound import SoundAccount

SCHEMA = "lipsync.preflight/1"
_OBSTACLES = {
    FaceState.MISSING: "no face",
    FaceState.TURNED: "turned away",
    FaceState.COVERED: "mouth covered",
    FaceState.CUT_OFF: "cut off by the picture's edge",
    FaceState.SMALL: "too small",
}


def render_text(preflight: Preflight, sheet: Path | None) -> str:
    """Some lines about the inputs, then one for each warning with its remedy."""
    lines = [*_picture_lines(preflight.picture, preflight.face)]
    if preflight.sound is not None:
        lines.append(_sound_line(preflight.sound))
    if sheet is not None:
        lines.append(f"sheet    {sheet}")
    lines += [_warning_line(each) for each in preflight.found]
    return "\n".join(lines if preflight.found else [*lines, "no warnings"])


def render_json(preflight: Preflight, sheet: Path | None) -> str:
    """One JSON object."""
    fields = {
        "schema": SCHEMA,
        "warnings": [_warning_fields(each) for each in preflight.found],
        "video": _picture_fields(preflight.picture, preflight.face),
        "audio": None if preflight.sound is None else _sound_fields(preflight.sound),
        "sheet": None if sheet is None else str(sheet),
    }
    return json.dumps(fields, indent=2)


def _picture_lines(picture: PictureAccount, face: int | None) -> Iterator[str]:
    total, seen_s = len(picture.frames), float(picture.seen_until_s)
    yield f"video    {picture.width_px}x{picture.height_px}, {counted(total, 'frame')} of {seen_s:.1f} s"
    most = "no face" if picture.most_faces == 0 else f"{counted(picture.most_faces, 'face')} at most"
    yield f"faces    {most} in a frame"
    if picture.face_size_px is not None:
        why = "the largest" if face is None else "as asked for"
        yield f"synced   number {picture.face_number} from the left, {why}, {picture.face_size_px:.0f} pixels"
    usable = picture.count(FaceState.USABLE)
    others = [f"{picture.count(state)} {words}" for state, words in _OBSTACLES.items() if picture.count(state)]
    percent = f"{usable / max(1, total):.0%}".replace("%", " %")
    yield f"usable   {usable} of {total} frames ({percent})" + (f": {', '.join(others)}" if others else "")


def _sound_line(sound: SoundAccount) -> str:
    speech = f"{sound.speech_share:.0%}".replace("%", " %")
    channels = f"{sound.channels} channel" + ("s" if sound.channels != 1 else "")
    return (
        f"audio    {float(sound.duration_s):.1f} s, {channels}, speech in {speech} of it, "
        f"loudest parts at {round(sound.level_db)} dB, peak {round(sound.peak_db, 1) + 0.0:.1f} dB"
    )


def _warning_line(warning: PreflightWarning) -> str:
    kind = "note" if warning.is_note else "warning"
    return f"{kind:8} {warning.code}: {warning.meaning} ({warning.detail}); {warning.remedy}"


def _warning_fields(warning: PreflightWarning) -> dict[str, Any]:
    return {
        "code": str(warning.code),
        "is_note": warning.is_note,
        "detail": warning.detail,
        "meaning": warning.meaning,
        "remedy": warning.remedy,
    }


def _picture_fields(picture: PictureAccount, face: int | None) -> dict[str, Any]:
    return {
        "width_px": picture.width_px,
        "height_px": picture.height_px,
        "duration_s": None if picture.duration_s is None else float(picture.duration_s),
        "seen_until_s": float(picture.seen_until_s),
        "is_interlaced": picture.is_interlaced,
        "samples": len(picture.frames),
        "usable_share": picture.share(FaceState.USABLE),
        "frames": {str(state): picture.count(state) for state in FaceState},
        "most_faces": picture.most_faces,
        "face": {
            "number": picture.face_number,
            "chosen_by": "largest" if face is None else "number",
            "size_px": picture.face_size_px,
        },
    }


def _sound_fields(sound: SoundAccount) -> dict[str, Any]:
    return {
        "duration_s": float(sound.duration_s),
        "channels": sound.channels,
        "level_db": sound.level_db,
        "peak_db": sound.peak_db,
        "audible_share": sound.audible_share,
        "speech_share": sound.speech_share,
        "clipped_per_s": sound.clipped_per_s,
        "silent_channel": sound.silent_channel,
        "inverse_share": sound.inverse_share,
    }
