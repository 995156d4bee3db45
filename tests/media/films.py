"""The kinds of films that people have, as axes whose values go together in some ways, and one film of each."""

from __future__ import annotations  # conftest.py is no module of its own

from collections.abc import Mapping, Sequence
from fractions import Fraction
from itertools import combinations
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from tests.covering import Row, covering_rows

if TYPE_CHECKING:
    from tests.conftest import Ffmpeg

PICTURES = 14
_SOUND_HZ = 48_000
SOUND_S = 0.8
WIDTH, HEIGHT = 128, 96

#: FFmpeg's options of each codec, at its best quality or near.
CODECS: Mapping[str, tuple[str, ...]] = {
    "h264": ("-c:v", "libx264", "-crf", "4", "-preset", "fast"),
    "hevc": ("-c:v", "libx265", "-preset", "ultrafast", "-x265-params", "crf=4:log-level=none:bframes=3"),
    "av1": ("-c:v", "libsvtav1", "-crf", "4", "-preset", "12"),
    "vp9": ("-c:v", "libvpx-vp9", "-crf", "4", "-b:v", "0", "-deadline", "realtime", "-cpu-used", "8"),
    "vp8": ("-c:v", "libvpx", "-auto-alt-ref", "0", "-crf", "4", "-b:v", "4M", "-deadline", "realtime"),
    "mpeg4": ("-c:v", "mpeg4", "-q:v", "1", "-bf", "2"),
    "mpeg2": ("-c:v", "mpeg2video", "-q:v", "1", "-bf", "2"),
    "theora": ("-c:v", "libtheora", "-q:v", "10"),
    "wmv2": ("-c:v", "wmv2", "-q:v", "1"),
    "h263": ("-c:v", "h263", "-q:v", "1"),
    "flv1": ("-c:v", "flv", "-q:v", "1"),
    "mjpeg": ("-c:v", "mjpeg", "-q:v", "1"),
    "prores": ("-c:v", "prores_ks", "-profile:v", "4"),
    "ffv1": ("-c:v", "ffv1"),
    "utvideo": ("-c:v", "utvideo"),
    "qtrle": ("-c:v", "qtrle"),
    "raw": ("-c:v", "rawvideo"),
}
_MANY = ("yuv420p", "yuv422p", "yuv444p", "yuv420p10le", "yuv422p10le", "yuv444p10le")
PIXELS: Mapping[str, Sequence[str]] = {
    "h264": (*_MANY, "gray"),
    "hevc": (*_MANY, "gray", "yuv444p12le", "gbrp"),
    "av1": ("yuv420p", "yuv420p10le"),
    "vp9": ("yuv420p", "yuv444p", "yuva420p"),
    "vp8": ("yuv420p", "yuva420p"),
    "mpeg2": ("yuv420p", "yuv422p"),
    "mjpeg": ("yuvj420p", "yuvj422p", "yuvj444p"),
    "prores": ("yuv422p10le", "yuva444p10le"),
    "ffv1": (*_MANY, "gray", "yuv444p12le", "gbrp", "yuv411p", "gray16le", "bgra"),
    "utvideo": ("yuv420p", "yuv422p", "gbrp"),
    "qtrle": ("rgb24", "argb"),
    "raw": ("bgr24", "yuyv422"),
}
#: Codecs of picture and of sound.
CONTAINERS: Mapping[str, tuple[str, str]] = {
    "mp4": ("h264 hevc av1 vp9 mpeg4 mpeg2 mjpeg", "aac mp3 opus flac alac ac3 eac3"),
    "m4v": ("h264 mpeg4", "aac ac3"),
    "mov": ("h264 hevc prores mjpeg mpeg4 ffv1 qtrle", "aac pcm_s16le pcm_s24le pcm_f32le alac mp3 ac3"),
    "3gp": ("h264 h263 mpeg4", "aac amr"),
    "mkv": (
        "h264 hevc av1 vp9 vp8 mpeg4 mpeg2 theora mjpeg prores ffv1 utvideo",
        "aac mp3 opus vorbis flac alac ac3 eac3 pcm_s16le pcm_f32le mp2 dts",
    ),
    "webm": ("vp8 vp9 av1", "opus vorbis"),
    "avi": ("h264 mpeg4 mpeg2 wmv2 mjpeg ffv1 utvideo raw", "pcm_s16le pcm_u8 ac3"),
    "ts": ("h264 hevc mpeg2 mpeg4", "aac mp3 mp2 ac3 eac3 opus"),
    "mpg": ("mpeg2", "mp2 ac3"),
    "flv": ("h264 flv1", "aac mp3"),
    "mxf": ("mpeg2 h264 prores ffv1", "pcm_s16le pcm_s24le"),
    "ogv": ("theora vp8", "vorbis opus flac"),
    "wmv": ("wmv2 h264", "wma mp3"),
}
_TURNED = ("mp4", "m4v", "mov", "3gp")
_INTERLACED = ("h264", "mpeg2", "prores", "ffv1")
_TELEVISION = ("24000/1001", "25", "30000/1001", "60000/1001")
SOUNDS: Mapping[str, tuple[str, ...]] = {
    "aac": ("-c:a", "aac", "-b:a", "96k"),
    "mp3": ("-c:a", "libmp3lame", "-q:a", "0"),
    "opus": ("-c:a", "libopus", "-b:a", "256k"),
    "vorbis": ("-c:a", "libvorbis", "-q:a", "9"),
    "flac": ("-c:a", "flac", "-strict", "-2"),
    "alac": ("-c:a", "alac"),
    "ac3": ("-c:a", "ac3", "-b:a", "448k"),
    "eac3": ("-c:a", "eac3", "-b:a", "448k"),
    "mp2": ("-c:a", "mp2"),
    "dts": ("-c:a", "dca", "-strict", "-2"),
    "wma": ("-c:a", "wmav2", "-b:a", "128k"),
    "amr": ("-c:a", "libopencore_amrnb", "-b:a", "12.2k"),
    **{name: ("-c:a", name) for name in ("pcm_s16le", "pcm_s24le", "pcm_f32le", "pcm_u8")},
}
#: Rates in Hz and channels; None where all go.
_SOUND_RATES: Mapping[str, Sequence[str]] = {
    "opus": ("48000",),
    "amr": ("8000",),
    "ac3": ("32000", "44100", "48000"),
    "eac3": ("32000", "44100", "48000"),
    "dts": ("44100", "48000"),
    "mp2": ("16000", "22050", "32000", "44100", "48000"),
    "mp3": ("8000", "16000", "22050", "32000", "44100", "48000"),
    "wma": ("16000", "22050", "32000", "44100"),
    "vorbis": ("16000", "22050", "32000", "44100", "48000"),
    "aac": ("16000", "22050", "32000", "44100", "48000", "96000"),
}
_FEW_CHANNELS = ("mp3", "mp2", "wma")
#: FFmpeg's options for sound of one voice: in the only channel, in both, in the right one, in the centre.
CHANNELS: Mapping[str, tuple[str, ...]] = {
    "mono": ("-af", "pan=mono|c0=c0"),
    "stereo": ("-af", "pan=stereo|c0=c0|c1=c0"),
    "right": ("-af", "pan=stereo|c0=0*c0|c1=c0"),
    "5.1": ("-af", "pan=5.1|c0=0*c0|c1=0*c0|c2=c0|c3=0*c0|c4=0*c0|c5=0*c0"),
    "7.1": ("-af", "pan=7.1|c0=0*c0|c1=0*c0|c2=c0|c3=0*c0|c4=0*c0|c5=0*c0|c6=0*c0|c7=0*c0"),
}
#: Tags and FFmpeg's names for them: matrix, primaries, transfer, the filter's matrix, range.
COLOURS: Mapping[str, tuple[str, str, str, str, str]] = {
    "601 full": ("smpte170m", "smpte170m", "smpte170m", "bt601", "pc"),
    "709": ("bt709", "bt709", "bt709", "bt709", "tv"),
    "709 full": ("bt709", "bt709", "bt709", "bt709", "pc"),
    "2020": ("bt2020nc", "bt2020", "bt2020-10", "bt2020", "tv"),
}
_NOT_TAGGED = "untagged"
_WITHOUT_TAGS = ("h263", "flv1", "wmv2", "mpeg4", "theora", "mjpeg", "utvideo", "qtrle", "raw", "vp8")
AXES: Mapping[str, Sequence[str]] = {
    "container": tuple(CONTAINERS),
    "codec": tuple(CODECS),
    "pixels": tuple(dict.fromkeys(pixel for pixels in PIXELS.values() for pixel in pixels)),
    "colour": (_NOT_TAGGED, *COLOURS),
    "turned": ("0", "90", "180", "270", "0 mirrored", "90 mirrored", "180 mirrored", "270 mirrored"),
    "fields": ("whole", "tff", "bff"),
    "rate": ("12", *_TELEVISION, "varied"),
    "shape": ("128x96", "127x95", "4:3 pixels"),
    "start": ("even", "late picture", "late sound"),
    "sound": tuple(SOUNDS),
    "channels": tuple(CHANNELS),
    "hz": ("8000", "16000", "22050", "32000", "44100", "48000", "96000"),
}
_PAIRS = (
    *(("container", axis) for axis in AXES if axis not in ("container", "pixels", "hz", "channels", "colour")),
    *(("codec", axis) for axis in ("pixels", "colour", "turned", "fields", "shape")),
    *(("sound", axis) for axis in ("channels", "hz", "start")),
    *combinations(("turned", "colour", "shape"), 2),
    *combinations(("channels", "hz", "start"), 2),
    ("fields", "colour"),
    ("rate", "start"),
)


def is_possible(row: Row) -> bool:
    """Whether the given values of a film go together, in FFmpeg's encoders and muxers."""
    return _is_picture(row) and _is_sound(row)


def _is_picture(row: Row) -> bool:
    container, codec, pixels = row.get("container"), row.get("codec"), row.get("pixels")
    colour, rate, shape = row.get("colour"), row.get("rate"), row.get("shape")
    is_whole, is_upright = row.get("fields", "whole") == "whole", row.get("turned", "0") == "0"
    return all(
        (
            not (container and codec) or codec in CONTAINERS[container][0].split(),
            not (codec and pixels) or pixels in PIXELS.get(codec, ("yuv420p",)),
            is_upright or container in (None, *_TURNED),
            is_whole or (codec in (None, *_INTERLACED) and shape in (None, "128x96") and rate in (None, "25")),
            is_whole or pixels in (None, "yuv420p", "yuv422p", "yuv422p10le"),
            is_whole or is_upright,
            colour in (None, _NOT_TAGGED) or codec not in _WITHOUT_TAGS,
            colour in (None, _NOT_TAGGED, "709") or codec not in ("prores", "mpeg2", "av1"),
            colour in (None, _NOT_TAGGED) or pixels is None or not _is_without_matrix(pixels),
            colour in (None, _NOT_TAGGED) or container not in ("avi", "mxf", "wmv", "flv") or codec == "h264",
            shape != "127x95" or codec in (None, "ffv1", "theora", "vp8", "mjpeg", "qtrle"),
            shape != "127x95" or pixels not in ("yuv411p", "yuyv422"),
            shape == "128x96" or shape is None or (codec != "h263" and container not in ("flv", "wmv", "3gp", "mxf")),
            rate != "varied" or container in (None, "mp4", "mov", "mkv", "webm", "ts", "m4v"),
            rate not in ("12", "varied") or codec != "mpeg2",
            rate in (None, *_TELEVISION[:3]) or container != "mxf",
            row.get("start", "even") == "even" or container not in ("avi", "mxf", "ogv"),
        )
    )


def _is_without_matrix(pixels: str) -> bool:
    return pixels in ("gbrp", "bgra", "rgb24", "argb", "bgr24", "gray", "gray16le")


def _is_sound(row: Row) -> bool:
    container, sound, channels, hz = (row.get(axis) for axis in ("container", "sound", "channels", "hz"))
    is_narrow = channels in (None, "mono", "stereo", "right")
    return all(
        (
            not (container and sound) or sound in CONTAINERS[container][1].split(),
            not (sound and hz) or hz in _SOUND_RATES.get(sound, (hz,)),
            is_narrow or sound not in (*_FEW_CHANNELS, "pcm_u8"),
            channels in (None, "mono") or sound != "amr",
            channels != "7.1" or sound not in ("ac3", "eac3", "dts"),
            container != "mxf" or hz in (None, "48000"),
            sound != "alac" or hz not in ("8000", "16000"),  # a block would be longer than the film
            sound != "mp3" or hz != "8000" or container not in ("mp4", "mov"),
            container != "flv" or (hz in (None, "22050", "44100") and is_narrow),
            container != "mpg" or hz in (None, "32000", "44100", "48000"),
            container != "ts" or sound != "mp3" or hz in (None, "32000", "44100", "48000"),
            container != "ts" or sound != "opus" or channels != "right",
            container != "ts" or sound != "aac" or channels != "7.1",  # ADTS has no such configuration
            container != "3gp" or is_narrow,
            container not in ("mov", "mxf", "avi") or is_narrow or sound not in ("pcm_s16le", "pcm_s24le", "pcm_f32le"),
        )
    )


def film_rows() -> list[Row]:
    """A row for each film."""
    return covering_rows(AXES, _PAIRS, is_possible)


def label(row: Row) -> str:
    """Its name in the table."""
    kind = [f"{row['codec']} {row['pixels']}, {row['container']}"]
    usual = {"colour": _NOT_TAGGED, "turned": "0", "fields": "whole", "shape": "128x96", "start": "even"}
    kind += [f"{'turned ' if axis == 'turned' else ''}{row[axis]}" for axis in usual if row[axis] != usual[axis]]
    return "; ".join((*kind, f"{row['rate']}/s", f"{row['sound']} {row['channels']} {row['hz']}"))


def true_pictures(width: int, height: int) -> NDArray[np.uint8]:
    """(N, H, W, 3) RGB: smooth colours that move, a grey bar with hard edges, and a mark in three of four corners."""
    y, x = np.mgrid[0:height, 0:width].astype(np.float32)
    pictures = []
    for number in range(2 * PICTURES):
        turn = number * 0.2
        waves = (np.sin(x / 23 + turn), np.sin(y / 19 - turn * 1.3), np.cos((x + y) / 31 + turn * 0.7))
        picture = np.stack([127 + 90 * wave for wave in waves], axis=-1)
        for corner, colour in (((0, 0), (70, -50, -50)), ((0, width), (-50, 60, -50)), ((height, 0), (-50, -50, 70))):
            near = np.exp(-((y - corner[0]) ** 2 + (x - corner[1]) ** 2) / 500)
            picture += near[..., None] * np.array(colour)
        left = 10 + 4 * number % (width - 30)
        picture[height // 4 : height // 2, left : left + 6] = 200
        pictures.append(picture.clip(0, 255).astype(np.uint8))
    return np.stack(pictures)


def voice() -> NDArray[np.int16]:
    """(N,) at 48 kHz: noise below 3 kHz in beats of different loudness, which every codec keeps."""
    order = np.random.default_rng(2)
    count = round(SOUND_S * _SOUND_HZ)
    spectrum = np.fft.rfft(order.standard_normal(count))
    spectrum[np.fft.rfftfreq(count, 1 / _SOUND_HZ) > 3000] = 0
    beats = np.repeat(order.uniform(0.2, 1.0, 20), count // 20)
    wave = np.fft.irfft(spectrum, count) * beats
    return np.asarray(wave / np.abs(wave).max() * 24000, np.int16)


def make_film(row: Row, folder: Path, ffmpeg: Ffmpeg) -> Path:
    """The film of a row, in `folder`, which holds the files that `write_sources` has written."""
    is_woven, is_varied = row["fields"] != "whole", row["rate"] == "varied"
    rate = Fraction(25 if is_varied else row["rate"])
    size = "127x95" if row["shape"] == "127x95" else "128x96"
    picture_lead_s = 0.2 if row["start"] == "late picture" else 0.0
    sound_lead_s = 0.16 if row["start"] == "late sound" else 0.0
    picture = ("-f", "rawvideo", "-pix_fmt", "rgb24", "-s", size, "-framerate", str(rate * (1 + is_woven)))
    inputs = (*_offset(picture_lead_s), *picture, "-i", folder / f"{size}.rgb")
    sound = (*_offset(sound_lead_s), "-f", "s16le", "-ar", str(_SOUND_HZ), "-ac", "1", "-i", folder / "voice.raw")
    tags = ("-metadata", "title=A film", "-metadata:s:v", "language=deu", "-metadata:s:a", "language=fra")
    heard = (*SOUNDS[row["sound"]], *CHANNELS[row["channels"]], "-ar", row["hz"])
    path = folder / f"film.{row['container']}"
    turned = path if row["turned"] == "0" else folder / f"turned.{row['container']}"
    passing = ("-fps_mode", "passthrough", "-enc_time_base", "1:1000") if is_varied else ()
    ffmpeg(*inputs, *sound, "-frames:v", str(PICTURES), *_picture_options(row), *heard, *tags, *passing, path)
    if turned != path:
        degrees, _, mirrored = row["turned"].partition(" ")
        flip = ("-display_hflip",) if mirrored else ()
        ffmpeg("-display_rotation", degrees, *flip, "-i", path, "-c", "copy", turned)
    return turned


def write_sources(folder: Path) -> None:
    """Write what the films are made of into `folder`."""
    for width, height in ((128, 96), (127, 95)):
        true_pictures(width, height).tofile(folder / f"{width}x{height}.rgb")
    voice().tofile(folder / "voice.raw")


def says_when_decoded(row: Row) -> bool:
    """The container has times of decoding alone, of which FFmpeg's command line makes a jumble."""
    return row["container"] in ("avi", "mxf") and row["codec"] in ("h264", "mpeg4", "mpeg2")


def _offset(lead_s: float) -> tuple[str, ...]:
    return ("-itsoffset", str(lead_s)) if lead_s else ()


def _picture_options(row: Row) -> tuple[str, ...]:
    filters: list[str] = []
    options: list[str] = [*CODECS[row["codec"]]]
    if row["fields"] != "whole":
        filters.append(f"tinterlace=mode=interleave_{'top' if row['fields'] == 'tff' else 'bottom'}")
        filters.append(f"setfield={row['fields']}")
        options += ["-flags", "+ilme+ildct", "-field_order", "tt" if row["fields"] == "tff" else "bb"]
        if row["codec"] == "h264":
            options += ["-x264-params", f"{row['fields']}=1"]
    if row["shape"] == "4:3 pixels":
        filters.append("setsar=4/3")
    if row["rate"] == "varied":
        filters += ["settb=1/1000", "setpts='PTS+if(eq(mod(N,3),1),12,0)'"]
    matrix, code_range = "bt601", "tv"
    if row["colour"] != _NOT_TAGGED:
        space, primaries, transfer, matrix, code_range = COLOURS[row["colour"]]
        options += ["-colorspace", space, "-color_primaries", primaries, "-color_trc", transfer]
        options += ["-color_range", code_range]
    if not _is_without_matrix(row["pixels"]):
        code_range = "pc" if row["pixels"].startswith("yuvj") else code_range
        filters.append(f"scale=out_color_matrix={matrix}:out_range={code_range}:flags=bicubic+accurate_rnd")
    filters.append(f"format={row['pixels']}")
    if row["codec"] == "hevc" and row["colour"] != _NOT_TAGGED:
        options[options.index("-x265-params") + 1] += f":range={'full' if code_range == 'pc' else 'limited'}"
    return ("-vf", ",".join(filters), *options)
