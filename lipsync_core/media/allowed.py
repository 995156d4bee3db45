"""The formats and codecs that are read, by FFmpeg's names: everything else is refused before it reads a byte more.

FFmpeg reads some 360 formats. Most are of old games, and some are no media but lists of other files and addresses (hls,
concat, dash, sdp, image2), programs that make pictures (lavfi), or texts (subtitles, tty). This list holds what people
have; `Allowed.with_more` adds to it. No protocol but FFmpeg's `fd` is open: a file is read through its open descriptor,
so its name is never an address, and nothing in it can open a second file.
"""

from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import cached_property

from lipsync_core.errors import OptionError
from lipsync_core.in_force import InForce

#: FFmpeg's name of each demuxer, in families of one maker or use.
_DEMUXERS = (
    *("mov,mp4,m4a,3gp,3g2,mj2", "matroska,webm", "avi", "asf", "flv", "mpegts", "mpeg", "mxf", "dv", "ivf"),
    *("mpegvideo", "m4v", "h264", "hevc", "obu", "mjpeg", "yuv4mpegpipe", "gif", "apng"),
    *("wav", "w64", "aiff", "au", "caf", "flac", "mp3", "aac", "ac3", "eac3", "dts", "amr", "amrnb", "amrwb", "ogg"),
    *("ape", "tta", "wv"),
    *("png_pipe", "jpeg_pipe", "webp_pipe", "bmp_pipe", "tiff_pipe", "j2k_pipe", "pbm_pipe", "pgm_pipe", "ppm_pipe"),
)
_VIDEO_DECODERS = (
    *("h264", "hevc", "vvc", "mpeg4", "mpeg2video", "mpeg1video", "mjpeg", "prores", "dnxhd", "dvvideo", "h263"),
    *("vp8", "vp9", "libvpx", "libvpx-vp9", "av1", "libdav1d", "theora", "ffv1", "huffyuv", "ffvhuff"),
    *("utvideo", "rawvideo", "v210", "v410", "r210", "cfhd", "flv", "wmv1", "wmv2", "wmv3", "vc1", "msmpeg4"),
    *("msmpeg4v1", "msmpeg4v2", "qtrle", "png", "apng", "gif", "webp", "bmp", "tiff", "jpeg2000", "pbm", "pgm", "ppm"),
)
_AUDIO_DECODERS = (
    *(
        "aac",
        "aac_latm",
        "mp3",
        "mp3float",
        "mp2",
        "mp2float",
        "mp1",
        "mp1float",
        "ac3",
        "eac3",
        "dca",
        "truehd",
        "mlp",
    ),
    *("opus", "libopus", "vorbis", "flac", "alac", "wavpack", "ape", "tta", "speex"),
    *("amrnb", "amrwb", "libopencore_amrnb", "libopencore_amrwb", "wmav1", "wmav2", "wmapro", "wmalossless"),
    *("adpcm_ms", "adpcm_ima_wav", "adpcm_ima_qt", "adpcm_swf", "g722", "adpcm_yamaha"),
    *("gsm", "gsm_ms", "pcm_alaw", "pcm_mulaw", "pcm_s8", "pcm_u8", "pcm_bluray", "pcm_dvd"),
    *("pcm_s16le", "pcm_s16be", "pcm_s24le", "pcm_s24be", "pcm_s32le", "pcm_s32be", "pcm_f32le", "pcm_f32be"),
    *("pcm_f64le", "pcm_f64be", "pcm_u16le", "pcm_u16be", "pcm_s8_planar", "pcm_s16le_planar", "pcm_s24le_planar"),
    *("pcm_s32le_planar", "pcm_s16be_planar"),
)
#: Demuxers that open other files or addresses, or run something: no setting allows them.
_NEVER = frozenset(
    {"hls", "concat", "dash", "image2", "image2pipe", "lavfi", "rtsp", "sdp", "rtp", "webm_dash_manifest"}
)


@dataclass(frozen=True)
class Allowed:
    """Names of FFmpeg's demuxers and decoders."""

    demuxers: tuple[str, ...] = _DEMUXERS
    decoders: tuple[str, ...] = _VIDEO_DECODERS + _AUDIO_DECODERS

    @cached_property
    def format_whitelist(self) -> str:
        """As FFmpeg's option of this name takes it."""
        return ",".join(self.demuxers)

    def decodes(self, codec: str) -> bool:
        """Whether FFmpeg's decoder `codec` is one of these."""
        return codec in self.decoders

    def with_more(self, demuxers: str = "", decoders: str = "") -> "Allowed":
        """These and more, as names with commas between them.

        Raises:
            OptionError: FFmpeg has no such demuxer or decoder, or the demuxer opens other files.
        """
        if not (demuxers.strip() or decoders.strip()):
            return self
        import av  # only here: the service's callers read these settings, and no media

        more_demuxers, more_decoders = _names(demuxers), _names(decoders)
        for name in more_demuxers:
            if not is_allowable(name) or name not in av.formats_available:
                why = "opens other files" if not is_allowable(name) else "is no demuxer of this FFmpeg"
                raise OptionError(f"LIPSYNC_ALLOW_DEMUXERS: {name[:40]!r} {why}", "take it out")
        for name in more_decoders:
            if name not in av.codecs_available:
                raise OptionError(f"LIPSYNC_ALLOW_DECODERS: FFmpeg has no decoder {name[:40]!r}", "take it out")
        return Allowed(self.demuxers + more_demuxers, self.decoders + more_decoders)


def is_allowable(demuxer: str) -> bool:
    """Whether a setting may add FFmpeg's format `demuxer`: not where it opens other files."""
    return demuxer not in _NEVER


def allowed() -> Allowed:
    """The lists that are in force in this process."""
    return _in_force.value


def allowing(lists: Allowed) -> AbstractContextManager[None]:
    """Put `lists` in force for the block, in all threads."""
    return _in_force.changed(lists)


_in_force = InForce(Allowed())


def _names(text: str) -> tuple[str, ...]:
    return tuple(name.strip() for name in text.split(",") if name.strip())
