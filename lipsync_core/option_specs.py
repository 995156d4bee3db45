"""The options of a job and of the machine: their choices, ranges and help texts.

The command line's options are made from these. A service's request takes choices and ranges from here; its texts are
its own. Defaults are those of `JobOptions` and `Execution`.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from types import MappingProxyType
from typing import Literal, get_args

from lipsync_core.choices import listed
from lipsync_core.execution import Decoding, Precision, Providers

Model = Literal["auto", "viseme", "wav2lip", "wav2lip-gan"]
Tracker = Literal["auto", "mediapipe", "scrfd"]
Blend = Literal["auto", "feather", "poisson"]
Compat = Literal["none", "upstream"]
Length = Literal["audio", "video"]
Extend = Literal["pingpong", "loop", "freeze"]
EncoderName = Literal["auto", "x264", "x265", "nvenc"]
Codec = Literal["h264", "hevc"]
#: FFmpeg's names; auto is what plays everywhere, source what the video has.
PixFmt = Literal["auto", "source", "yuv420p", "yuv422p", "yuv444p", "yuv420p10le", "yuv422p10le", "yuv444p10le"]
Deinterlace = Literal["auto", "on", "off"]
AudioCodec = Literal["auto", "aac", "copy"]
#: x264's presets, fastest first.
Preset = Literal["ultrafast", "superfast", "veryfast", "faster", "fast", "medium", "slow", "slower", "veryslow"]

MODELS: tuple[str, ...] = get_args(Model)
#: With weights, the best first; `wav2lip-gan` draws the sharper mouths.
NEURAL_MODELS = ("wav2lip-gan", "wav2lip")
TRACKERS: tuple[str, ...] = get_args(Tracker)
PRESETS: tuple[str, ...] = get_args(Preset)
DEFAULT_PRESET: Preset = "veryfast"
#: The encoder on the CPU for each codec.
CPU_ENCODERS: Mapping[Codec, EncoderName] = MappingProxyType({"h264": "x264", "hevc": "x265"})
MAX_CRF = 51
MAX_EXPRESSION = 1.5
MIN_SIDE_PX = 64  # of the box that a delivered picture fits in
MIN_FPS, MAX_FPS = 1, 240
FRAME_RATE = r"\d{1,7}(?:\.\d{1,6}|/0*[1-9]\d{0,6})?"  # a regular expression: 25, 29.97 or 30000/1001
PICTURE_SIZE = r"\d{1,5}x\d{1,5}"  # as well: 1920x1080
MAX_FACE = 63  # of the faces in one frame, counted from 0


def picture_size(text: str) -> tuple[int, int]:
    """Width and height, px, of a text such as 1920x1080.

    Raises:
        ValueError: it is no size.
    """
    if re.fullmatch(PICTURE_SIZE, text, re.ASCII) is None:
        raise ValueError(f"{text!r} is not a size; write 1920x1080")
    width, _, height = text.partition("x")
    return int(width), int(height)


@dataclass(frozen=True, slots=True)
class OptionSpec:
    """One option."""

    name: str  # of the field
    help: str
    choices: tuple[str, ...] = ()  # empty where it is no choice of names
    lowest: float | None = None  # of a number
    highest: float | None = None
    unset: str = ""  # of an option without a default: what no value means

    @property
    def option(self) -> str:
        """The name on the command line, without the dashes in front."""
        return self.name.removesuffix("_s").replace("_", "-")

    @property
    def has_range(self) -> bool:
        """Whether its numbers have a limit."""
        return self.lowest is not None or self.highest is not None

    @property
    def range(self) -> str:
        """The range as a phrase: "0 or more", "0 to 51"."""
        if self.highest is None:
            return f"{self.lowest:g} or more"
        return f"at most {self.highest:g}" if self.lowest is None else f"{self.lowest:g} to {self.highest:g}"

    def holds(self, number: float | Fraction) -> bool:
        """Whether `number` is in the option's range; not a number is in none."""
        is_not_below = self.lowest is None or number >= self.lowest
        return is_not_below and (self.highest is None or number <= self.highest)


_OWN_CHOICE = "the file's own choice"
_SPECS = (
    OptionSpec("model", f"Generator: auto (the best that can be used here), {listed(MODELS[1:])}.", MODELS),
    OptionSpec("tracker", f"Face tracker: {listed(TRACKERS)}.", TRACKERS),
    OptionSpec("blend", "How new pixels join the old: auto is what suits the model.", get_args(Blend)),
    OptionSpec(
        "expression",
        "How far viseme moves jaw and lips: 0 not at all, 1 as usual.",
        lowest=0.0,
        highest=MAX_EXPRESSION,
    ),
    OptionSpec("enhance_quality", "Restore the new mouth with GFPGAN, at several times the job's cost."),
    OptionSpec(
        "providers",
        "What runs the networks of wav2lip, scrfd and gfpgan; auto takes cuda where it works, else cpu.",
        get_args(Providers),
    ),
    OptionSpec("precision", "Of their numbers; fp16 with tensorrt only.", get_args(Precision)),
    OptionSpec("model_server", "The model server, grpc://HOST:PORT, that runs these networks instead of this process."),
    OptionSpec("model_server_wait_s", "How long to try again while the model server is down or its queue is full."),
    OptionSpec(
        "decoder",
        "What decodes a video larger than 1280x720; auto takes NVDEC where it gives the same pictures as the CPU.",
        get_args(Decoding),
    ),
    OptionSpec(
        "jobs",
        "Track and render in parts, N at a time, each by a process of its own; 1: as a whole, by this one.",
        unset="as cores and memory allow",
    ),
    OptionSpec(
        "compat",
        "upstream: do everything as Wav2Lip's public implementation does, to compare results.",
        get_args(Compat),
    ),
    OptionSpec("length", "Which input the result lasts as long as.", get_args(Length)),
    OptionSpec("extend", "How a video shorter than the result goes on.", get_args(Extend)),
    OptionSpec("face", "Whom to sync: largest, or 0 for the leftmost.", lowest=0, highest=MAX_FACE, unset="largest"),
    OptionSpec(
        "encoder",
        "What compresses the video; auto takes nvenc where this machine has it, else x264, or x265 for hevc.",
        get_args(EncoderName),
    ),
    OptionSpec("codec", "What the video is compressed to.", get_args(Codec)),
    OptionSpec(
        "pix_fmt",
        "Format of the pixels: auto (yuv420p, which plays everywhere; 10 bits in HEVC), source, or one of FFmpeg's.",
        get_args(PixFmt),
    ),
    OptionSpec("keep_depth", "Keep 10 bits and HDR, in HEVC; without it they become 8 bits and standard brightness."),
    OptionSpec(
        "max_size",
        "Scale larger pictures down to this; without it to what H.264's level 5.2 holds.",
        unset="level 5.2's",
    ),
    OptionSpec("crf", f"Quality on x264's scale: 0 is lossless, {MAX_CRF} the worst.", lowest=0, highest=MAX_CRF),
    OptionSpec("preset", "Speed of the encoder, by x264's names.", PRESETS),
    OptionSpec(
        "deinterlace",
        "Make whole pictures of woven fields: auto where the video is interlaced, on always, off never.",
        get_args(Deinterlace),
    ),
    OptionSpec(
        "fps",
        "Frames a second of the result, such as 25 or 30000/1001; without it each frame lasts as in the source.",
        lowest=MIN_FPS,
        highest=MAX_FPS,
        unset="the source's",
    ),
    OptionSpec(
        "audio_codec",
        "What becomes of the sound: auto copies AAC-LC and makes AAC-LC of all else, which plays everywhere; "
        "aac always encodes; copy keeps the sound as it is, where the file can hold it.",
        get_args(AudioCodec),
    ),
    OptionSpec("start_s", "Where in the result to start: seconds or [HH:]MM:SS.", lowest=0),
    OptionSpec("end_s", "Where in the result to stop.", unset="its end"),
    OptionSpec(
        "video_track",
        "Which of VIDEO's tracks: a number from 0, or a language; `lipsync probe` lists them.",
        unset=_OWN_CHOICE,
    ),
    OptionSpec("audio_track", "Which of AUDIO's tracks, in the same way.", unset=_OWN_CHOICE),
    OptionSpec("provenance", "Sign the result, and say in its metadata that a model has changed it."),
    OptionSpec(
        "min_synced",
        "Fail when a smaller share of the frames (0 to 1) gets synced; at 0, when none does.",
        lowest=0.0,
        highest=1.0,
    ),
    OptionSpec(
        "min_score",
        "Fail, and write no result, when its sync score (0 to 1) is lower, or its picture has a fault.",
        lowest=0.0,
        highest=1.0,
    ),
)
#: By the name of the field in `JobOptions` or `Execution`.
OPTIONS: Mapping[str, OptionSpec] = MappingProxyType({spec.name: spec for spec in _SPECS})
