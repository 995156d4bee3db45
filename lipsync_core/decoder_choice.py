"""Chooses what decodes a video: the CPU, or NVDEC where this machine allows it and it gives the same pictures."""

import logging
from dataclasses import dataclass
from pathlib import Path

from lipsync_core.errors import InputError
from lipsync_core.execution import Decoder, Decoding
from lipsync_core.media.decoder_trial import try_decoder
from lipsync_core.media.probe import VideoInfo
from lipsync_core.media.stream import SMALL_PX

_logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class DecoderChoice:
    """The requested decoder, the one that reads the video, and the reason."""

    requested: Decoding
    chosen: Decoder
    reason: str


ON_CPU = DecoderChoice("cpu", "cpu", "asked for, or the default")


def choose_decoder(requested: Decoding, path: Path, info: VideoInfo, track: str | None = None) -> DecoderChoice:
    """The decoder for the track `track` of `path`, whose properties are `info`; logged where there was a choice.

    `auto` takes NVDEC for a video larger than 1280x720, if it decodes the first pictures as the CPU does.
    """
    if requested == "cpu":
        return ON_CPU
    choice = _choose(path, info, track)
    _logger.info("decoder %s: %s", choice.chosen, choice.reason)
    return choice


def _choose(path: Path, info: VideoInfo, track: str | None) -> DecoderChoice:
    if info.is_still or info.width_px * info.height_px <= SMALL_PX:
        return DecoderChoice("auto", "cpu", "no picture is larger than 1280x720, which one core decodes in time")
    try:
        try_decoder(path, "nvdec", track)
    except InputError as exc:
        return DecoderChoice("auto", "cpu", f"nvdec cannot be used here: {exc.message}")
    return DecoderChoice("auto", "nvdec", "it decoded the first pictures as the CPU does")
