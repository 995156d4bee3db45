"""Chooses the encoder of a job before its work: the requested one, or NVENC where it works, else one on the CPU."""

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from av.codec.codec import codecs_available

from lipsync_core.errors import OptionError, OutputError
from lipsync_core.media.encode import EncoderOptions
from lipsync_core.media.encoder_trial import try_encoder
from lipsync_core.media.encoders import find_encoder
from lipsync_core.media.working import WorkingPicture
from lipsync_core.option_specs import CPU_ENCODERS, Codec, EncoderName
from lipsync_core.options import JobOptions
from lipsync_core.threads import codec_threads

_logger = logging.getLogger(__name__)
_NVENC: Mapping[Codec, str] = MappingProxyType({"h264": "h264_nvenc", "hevc": "hevc_nvenc"})


@dataclass(frozen=True, slots=True)
class EncoderChoice:
    """The requested encoder and codec, the encoder that makes the movie, and the reason."""

    requested: EncoderName
    codec: Codec
    chosen: str  # its name in `media.encoders.ENCODERS`
    reason: str

    @property
    def fallback(self) -> str | None:
        """The encoder to go on with if the chosen one does not start after all; None: it was asked for by name."""
        on_cpu = CPU_ENCODERS[self.codec]
        return on_cpu if self.requested == "auto" and self.chosen != on_cpu else None


def choose_encoder(options: JobOptions, picture: WorkingPicture) -> EncoderChoice:
    """The encoder for a movie of pictures such as `picture`; logged.

    `auto` takes NVENC where it encodes one such picture correctly with the job's quality, else x264 or x265. The
    trial may start a GPU: call it in the process that encodes, not in one that forks.

    Raises:
        OptionError: the encoder that was asked for by name cannot be used here.
    """
    choice = _choose(options, picture)
    _logger.info("encoder %s (--encoder %s): %s", choice.chosen, choice.requested, choice.reason)
    return choice


def compression(options: JobOptions, encoder: str) -> EncoderOptions:
    """The job's quality and speed, for the encoder of that name in `media.encoders.ENCODERS`."""
    return EncoderOptions(encoder, options.crf, options.preset, threads=codec_threads())


def _choose(options: JobOptions, picture: WorkingPicture) -> EncoderChoice:
    requested, codec = options.encoder, options.movie_codec
    on_cpu, on_gpu = CPU_ENCODERS[codec], _NVENC[codec]
    if requested == on_cpu:
        _require_built(on_cpu)
        return EncoderChoice(requested, codec, on_cpu, "asked for")
    try:
        try_encoder(find_encoder(on_gpu), picture, compression(options, on_gpu))
    except OutputError as exc:
        if requested == "nvenc":
            message = f"encoder nvenc cannot make {codec} here: {exc.message}"
            raise OptionError(message, f"choose {on_cpu}, or auto") from exc
        _require_built(on_cpu)
        return EncoderChoice(requested, codec, on_cpu, f"{on_gpu} cannot be used here: {exc.message}")
    reason = "asked for" if requested == "nvenc" else "it encoded a trial picture correctly"
    return EncoderChoice(requested, codec, on_gpu, reason)


def _require_built(name: str) -> None:
    library = find_encoder(name).library
    if library not in codecs_available:
        raise OptionError(f"this build of PyAV has no {library}, which is encoder {name}", "see: lipsync doctor")
