"""Every warning of the preflight, with its stable code, its meaning and its remedy: the one table of all front ends.

docs/preflight.md shows the table, and a test compares the two.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType


class WarningCode(StrEnum):
    """The stable code of a warning or a note."""

    NO_FACE_FOUND = "NO_FACE_FOUND"
    FACE_MISSING = "FACE_MISSING"
    FACE_TURNED = "FACE_TURNED"
    FACE_COVERED = "FACE_COVERED"
    FACE_CUT_OFF = "FACE_CUT_OFF"
    FACE_SMALL = "FACE_SMALL"
    MANY_FACES = "MANY_FACES"
    TOO_DARK = "TOO_DARK"
    UPSIDE_DOWN = "UPSIDE_DOWN"
    SIDEWAYS = "SIDEWAYS"
    INTERLACED = "INTERLACED"
    VIDEO_TRUNCATED = "VIDEO_TRUNCATED"
    NO_SPEECH = "NO_SPEECH"
    AUDIO_SILENT = "AUDIO_SILENT"
    AUDIO_QUIET = "AUDIO_QUIET"
    AUDIO_CLIPPED = "AUDIO_CLIPPED"
    CHANNEL_SILENT = "CHANNEL_SILENT"
    CHANNEL_INVERTED = "CHANNEL_INVERTED"
    AUDIO_LONGER_THAN_VIDEO = "AUDIO_LONGER_THAN_VIDEO"


@dataclass(frozen=True, slots=True)
class CodeMeaning:
    """The meaning of a code."""

    meaning: str
    remedy: str
    is_note: bool = False  # it stops no strict job


MEANINGS: Mapping[WarningCode, CodeMeaning] = MappingProxyType(
    {
        WarningCode.NO_FACE_FOUND: CodeMeaning(
            "no frame that was looked at shows the face to sync",
            "give a video in which a face is seen from the front; with --face, a number that is there",
        ),
        WarningCode.FACE_MISSING: CodeMeaning(
            "the face is not seen in more than a tenth of the frames, which pass through unchanged",
            "cut the video to the part in which the person is seen",
        ),
        WarningCode.FACE_TURNED: CodeMeaning(
            "the face is turned too far to the side in more than a tenth of the frames, which pass through unchanged",
            "give a video in which the person looks at the camera",
        ),
        WarningCode.FACE_COVERED: CodeMeaning(
            "a mask covers the mouth in more than a tenth of the frames, which pass through unchanged",
            "give a video in which the mouth is bare",
        ),
        WarningCode.FACE_CUT_OFF: CodeMeaning(
            "the edge of the picture cuts off the mouth or the chin in more than a tenth of the frames",
            "give a video that shows the whole chin: a wider crop",
        ),
        WarningCode.FACE_SMALL: CodeMeaning(
            "the face has fewer than 64 pixels in more than a tenth of the frames, too few to place its lips well",
            "give the video at a higher resolution, or crop it to the person",
        ),
        WarningCode.MANY_FACES: CodeMeaning(
            "several faces of like size are seen, and none was chosen: the largest is synced",
            "look at the contact sheet (--sheet), and choose one with --face N",
        ),
        WarningCode.TOO_DARK: CodeMeaning(
            "more than a quarter of the frames are so dark that lips cannot be told from skin",
            "brighten the video",
        ),
        WarningCode.UPSIDE_DOWN: CodeMeaning(
            "the person stands on the head",
            "turn the video by 180 degrees, if that is not meant",
        ),
        WarningCode.SIDEWAYS: CodeMeaning(
            "the person lies on the side",
            "turn the video by 90 degrees, if that is not meant",
        ),
        WarningCode.INTERLACED: CodeMeaning(
            "each picture holds two moments, so fine lines of the mouth are lost",
            "give the progressive original; else keep --deinterlace auto, which makes whole pictures",
        ),
        WarningCode.VIDEO_TRUNCATED: CodeMeaning(
            "the pictures end before the video says that it ends",
            "copy or download the video again",
        ),
        WarningCode.NO_SPEECH: CodeMeaning(
            "nobody is heard to speak, so the mouth rests",
            "give a sound with speech; of several tracks choose one with --audio-track",
        ),
        WarningCode.AUDIO_SILENT: CodeMeaning(
            "nothing can be heard, so the mouth rests",
            "give another sound; of several tracks choose one with --audio-track",
        ),
        WarningCode.AUDIO_QUIET: CodeMeaning(
            "the sound is so quiet that parts of the speech do not move the mouth",
            "raise its level",
        ),
        WarningCode.AUDIO_CLIPPED: CodeMeaning(
            "the sound is cut at full scale, which is heard as distortion",
            "record or export it at a lower level",
        ),
        WarningCode.CHANNEL_SILENT: CodeMeaning(
            "one of the two channels is silent: the result is heard on one side",
            "make the sound mono",
        ),
        WarningCode.CHANNEL_INVERTED: CodeMeaning(
            "one channel is the inverse of the other: on a mono speaker they cancel each other",
            "invert one channel, or make the sound of one of them",
        ),
        WarningCode.AUDIO_LONGER_THAN_VIDEO: CodeMeaning(
            "the sound is longer than the video, which is repeated as --extend says",
            "give a longer video if the repetition is seen",
            is_note=True,
        ),
    }
)


@dataclass(frozen=True, slots=True)
class PreflightWarning:
    """One thing that is likely to spoil the result, or a note of one that may surprise."""

    code: WarningCode
    detail: str  # the figures of these inputs

    @property
    def meaning(self) -> str:
        """See `MEANINGS`."""
        return MEANINGS[self.code].meaning

    @property
    def remedy(self) -> str:
        """See `MEANINGS`."""
        return MEANINGS[self.code].remedy

    @property
    def is_note(self) -> bool:
        """It stops no strict job."""
        return MEANINGS[self.code].is_note
