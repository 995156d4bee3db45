"""The kinds of sound files that people have, and one of each."""

from __future__ import annotations  # conftest.py is no module of its own

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from tests.covering import Row, covering_rows
from tests.media.films import CHANNELS

if TYPE_CHECKING:
    from tests.conftest import Ffmpeg

_LAME = ("8000", "16000", "22050", "32000", "44100", "48000")
_ALL = (*_LAME, "96000")
_TRIED = ("8000", "22050", "44100", "48000", "96000")
_WIDE = tuple(CHANNELS)
_NARROW = ("mono", "stereo", "right")
#: For each kind the ending, FFmpeg's options, its rates in Hz and its channels.
KINDS: Mapping[str, tuple[str, tuple[str, ...], tuple[str, ...], tuple[str, ...]]] = {
    "WAV, 16 bits": ("wav", ("-c:a", "pcm_s16le"), _ALL, _WIDE),
    "WAV, 24 bits": ("wav", ("-c:a", "pcm_s24le"), _ALL, _WIDE),
    "WAV, 32 bits": ("wav", ("-c:a", "pcm_s32le"), _ALL, _WIDE),
    "WAV, float": ("wav", ("-c:a", "pcm_f32le"), _ALL, _WIDE),
    "WAV, 8 bits": ("wav", ("-c:a", "pcm_u8"), _ALL, _NARROW),
    "WAV, A-law": ("wav", ("-c:a", "pcm_alaw"), ("8000", "16000"), _NARROW),
    "WAV, ADPCM": ("wav", ("-c:a", "adpcm_ima_wav"), ("22050", "44100", "48000"), _NARROW),
    "RF64": ("wav", ("-c:a", "pcm_s16le", "-rf64", "always"), _ALL, _WIDE),
    "AIFF": ("aiff", ("-c:a", "pcm_s16be"), _ALL, _NARROW),
    "CAF": ("caf", ("-c:a", "pcm_s24be"), _ALL, _NARROW),
    "CAF, ALAC": ("caf", ("-c:a", "alac"), ("44100", "48000"), _NARROW),  # FFmpeg cuts the last block twice
    "AU": ("au", ("-c:a", "pcm_s16be"), _ALL, _NARROW),
    "MP3": ("mp3", ("-c:a", "libmp3lame", "-q:a", "0"), _LAME, _NARROW),
    "MP3, no LAME tag": ("mp3", ("-c:a", "libmp3lame", "-q:a", "0", "-write_xing", "0"), _LAME, _NARROW),
    "FLAC": ("flac", ("-c:a", "flac"), _ALL, _WIDE),
    "FLAC, 24 bits": ("flac", ("-c:a", "flac", "-sample_fmt", "s32"), _ALL, _WIDE),
    "Ogg Vorbis": ("ogg", ("-c:a", "libvorbis", "-q:a", "9"), ("16000", "22050", "32000", "44100", "48000"), _WIDE),
    "Ogg FLAC": ("oga", ("-c:a", "flac"), _ALL, _WIDE),
    "Opus": ("opus", ("-c:a", "libopus", "-b:a", "256k"), ("48000",), _WIDE),
    "WebM, Opus": ("webm", ("-c:a", "libopus", "-b:a", "256k"), ("48000",), _WIDE),
    "M4A": ("m4a", ("-c:a", "aac", "-b:a", "96k"), ("16000", "22050", "32000", "44100", "48000", "96000"), _WIDE),
    "M4A, ALAC": ("m4a", ("-c:a", "alac"), _ALL, _WIDE),
    "AAC": (
        "aac",
        ("-c:a", "aac", "-b:a", "96k"),
        ("16000", "22050", "32000", "44100", "48000", "96000"),
        (*_NARROW, "5.1"),
    ),
    "WMA 2": ("wma", ("-c:a", "wmav2", "-b:a", "128k"), ("16000", "22050", "32000", "44100"), _NARROW),
    "WMA 1": ("wma", ("-c:a", "wmav1", "-b:a", "128k"), ("22050", "32000", "44100"), _NARROW),
    "AMR": ("amr", ("-c:a", "libopencore_amrnb", "-b:a", "12.2k"), ("8000",), ("mono",)),
    "AC-3": ("ac3", ("-c:a", "ac3", "-b:a", "448k"), ("32000", "44100", "48000"), (*_NARROW, "5.1")),
    "E-AC-3": ("eac3", ("-c:a", "eac3", "-b:a", "448k"), ("32000", "44100", "48000"), (*_NARROW, "5.1")),
    "DTS": ("dts", ("-c:a", "dca", "-strict", "-2"), ("44100", "48000"), (*_NARROW, "5.1")),
    "MP2": ("mp2", ("-c:a", "mp2"), ("32000", "44100", "48000"), _NARROW),
    "WavPack": ("wv", ("-c:a", "wavpack"), _ALL, _WIDE),
    "TTA": ("tta", ("-c:a", "tta"), _ALL, _NARROW),
    "Matroska, MP3": ("mka", ("-c:a", "libmp3lame", "-q:a", "0"), _LAME, _NARROW),
    "MOV, PCM": ("mov", ("-c:a", "pcm_s16be"), _ALL, _NARROW),
}
#: Each says nothing of the delay of its encoder, or (AMR) has too narrow a band for a sharp correlation: every player
#: plays it as late as FFmpeg's command line does.
LATE = ("MP3, no LAME tag", "AAC", "AC-3", "E-AC-3", "DTS", "MP2", "AMR")


def sound_rows() -> list[Row]:
    """A row for each file: all pairs of kinds with channels and rates."""
    axes = {"kind": tuple(KINDS), "channels": tuple(CHANNELS), "hz": _TRIED}
    pairs = (("kind", "hz"), ("kind", "channels"))
    return covering_rows(axes, pairs, _is_possible)


def _is_possible(row: Row) -> bool:
    if "kind" not in row:
        return True
    _, _, rates, channels = KINDS[row["kind"]]
    return row.get("hz", rates[0]) in rates and row.get("channels", channels[0]) in channels


def sound_label(row: Row) -> str:
    """Its name in the table."""
    return f"{row['kind']}; {row['channels']}; {row['hz']} Hz"


def make_sound(row: Row, voice: Path, folder: Path, ffmpeg: Ffmpeg) -> Path:
    """The file of a row, of the raw sound `voice`."""
    ending, options, _, _ = KINDS[row["kind"]]
    path = folder / f"sound.{ending}"
    ffmpeg(
        "-f",
        "s16le",
        "-ar",
        "48000",
        "-ac",
        "1",
        "-i",
        voice,
        *options,
        *CHANNELS[row["channels"]],
        "-ar",
        row["hz"],
        path,
    )
    return path
