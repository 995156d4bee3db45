"""The sound of re-opened movies: codec, profile, rate, layout, place, length, edit list, and what may be copied."""

from __future__ import annotations  # conftest.py is no module of its own

import struct
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING

import av
import numpy as np
import pytest

from lipsync_core.audio.load import SpeechReader
from lipsync_core.clock import StageClock
from lipsync_core.errors import OptionError, RefusedOutputError
from lipsync_core.media import soundtrack
from lipsync_core.media.encode import EncoderOptions
from lipsync_core.media.mux import MovieTracks, MovieWriter
from lipsync_core.media.sound import AudioCut
from lipsync_core.media.soundtrack import check_soundtrack
from lipsync_core.option_specs import AudioCodec
from tests.media.test_mux import picture, sound_packets, spec
from tests.media.test_sound import EIGHT_HZ, MAX_FREQUENCY_ERROR_HZ, SIXTEEN_HZ, frequencies_hz
from tests.sounds import HEARD_HZ, channel_rows, heard, many_tones, offset_s, read_speech, write_sound
from tests.thorough import first_rows

if TYPE_CHECKING:
    from tests.conftest import Ffmpeg

MAX_OFFSET_S = 0.005
SPEECH_S = 3.0
AAC_BLOCK = 1024  # samples, which is also the priming of FFmpeg's encoder
#: Name, codec and its options, rate, channels: every codec that people's files have.
COMPRESSED = [
    ("in.mp3", ("libmp3lame", "-b:a", "128k"), 44100, 2),
    ("tts.mp3", ("libmp3lame", "-b:a", "48k"), 24000, 1),
    ("in.opus", ("libopus",), 48000, 2),
    ("in.webm", ("libopus",), 48000, 1),
    ("in.ogg", ("libvorbis",), 44100, 2),
    ("in.flac", ("flac",), 48000, 2),
    ("in.ac3", ("ac3",), 48000, 2),
    ("eac3.mp4", ("eac3",), 48000, 2),
    ("alac.m4a", ("alac",), 44100, 2),
    ("in.mp2", ("mp2",), 48000, 2),
    ("in.wma", ("wmav2",), 44100, 2),
    ("in.wav", ("pcm_s16le",), 44100, 2),
    ("float.wav", ("pcm_f32le",), 48000, 1),
    ("old.avi", ("pcm_u8",), 11025, 1),
]


@pytest.fixture(scope="session")
def speech(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Real speech, which gives a correlation one peak."""
    samples = read_speech(SPEECH_S)[:, None]
    return write_sound(tmp_path_factory.mktemp("speech") / "speech.wav", "pcm_s16le", 16000, samples)


def write_movie(output: Path, audio: AudioCut, codec: AudioCodec = "auto", seconds: float = SPEECH_S) -> str:
    """A movie of `seconds` with the sound; returns the note on it."""
    options = EncoderOptions(preset="ultrafast")
    with MovieWriter(output, spec(), options, MovieTracks(audio, codec), StageClock()) as movie:
        for index in range(round(seconds * 25)):
            movie.write(picture(index), index, 1)
    return movie.audio_note


def facts(path: Path) -> tuple[str, str | None, int, str]:
    """Codec, profile, rate and layout, as a decoder finds them."""
    with av.open(str(path)) as container:
        stream = container.streams.audio[0]
        next(container.decode(stream))
        codec = stream.codec_context
        return codec.name, codec.profile, codec.sample_rate, codec.layout.name


def edits(path: Path) -> list[tuple[int, int]]:
    """(duration, first sample) of each entry in the edit list of the sound (ISO/IEC 14496-12, 8.6.6)."""
    data = path.read_bytes()
    track = data.rindex(b"trak", 0, data.index(b"soun"))
    at = data.index(b"elst", track) + 4
    version, count = data[at], struct.unpack_from(">I", data, at + 4)[0]
    entry = ">QqI" if version else ">IiI"
    return [struct.unpack_from(entry, data, at + 8 + i * struct.calcsize(entry))[:2] for i in range(count)]


def as_he_aac(path: Path, index: int) -> None:
    """Let the header say that the sound of an MP4 is HE-AAC with the rate of that index (ISO/IEC 14496-3, 1.6.6.1)."""
    data = bytearray(path.read_bytes())
    at = data.index(b"\x56\xe5\x00")  # the extension that says: no spectral band replication
    data[at + 2] = 0x80 | index << 3
    path.write_bytes(data)


@pytest.mark.parametrize("ending", [".mp4", ".mov"])
@pytest.mark.parametrize(
    ("name", "codec", "rate_hz", "channels"), first_rows(COMPRESSED, 7), ids=lambda value: str(value)
)
def test_all_sound_but_aac_becomes_aac_where_it_was(
    ffmpeg: Ffmpeg, speech: Path, tmp_path: Path, name: str, codec: tuple[str, ...], rate_hz: int, channels: int,
    ending: str,
) -> None:  # fmt: skip
    """MP3 and Opus in MP4 are mute in QuickTime and messengers, AC-3 and ALAC in browsers."""
    source, output = tmp_path / name, tmp_path / f"out{ending}"
    ffmpeg("-i", speech, "-ar", str(rate_hz), "-ac", str(channels), "-c:a", *codec, source)
    note = write_movie(output, AudioCut(source))
    assert facts(output) == ("aac", "LC", rate_hz, "mono" if channels == 1 else "stereo")
    assert note == f"aac {min(112, 6 * rate_hz // 1000) * channels} kb/s"
    # FFmpeg's decoder drops the first block of WMA; its sound is where it was made.
    before, after = heard(speech if name == "in.wma" else source, is_movie=False), heard(output)
    assert abs(offset_s(before, after)) < MAX_OFFSET_S
    assert abs(len(after) - len(before)) / HEARD_HZ < 2 * AAC_BLOCK / rate_hz
    ((duration, priming),) = edits(output)
    assert (duration > 0, priming) == (True, AAC_BLOCK)


@pytest.mark.parametrize("ending", [".mp4", ".mov"])
@pytest.mark.parametrize("name", ["in.m4a", "in.mkv", "in.ts", "in.aac", "in.mov"])
def test_aac_is_copied(ffmpeg: Ffmpeg, speech: Path, tmp_path: Path, name: str, ending: str) -> None:
    source, output = tmp_path / name, tmp_path / f"out{ending}"
    ffmpeg("-i", speech, "-ar", "48000", "-ac", "2", "-c:a", "aac", source)
    assert write_movie(output, AudioCut(source)) == "copy (aac)"
    assert facts(output) == ("aac", "LC", 48000, "stereo")
    assert abs(offset_s(heard(source, is_movie=False), heard(output))) < MAX_OFFSET_S
    if name.endswith((".m4a", ".mov", ".mkv")):
        assert sound_packets(output) == sound_packets(source)
    ((_, priming),) = edits(output)
    assert 0 <= priming <= AAC_BLOCK


def test_aac_is_encoded_anew_where_that_is_asked_for(ffmpeg: Ffmpeg, speech: Path, tmp_path: Path) -> None:
    source, output = tmp_path / "in.m4a", tmp_path / "out.mp4"
    ffmpeg("-i", speech, "-ar", "48000", "-ac", "2", "-c:a", "aac", "-b:a", "96k", source)
    assert write_movie(output, AudioCut(source), "aac") == "aac 224 kb/s"
    assert sound_packets(output) != sound_packets(source)
    assert abs(offset_s(heard(source, is_movie=False), heard(output))) < MAX_OFFSET_S


def test_he_aac_becomes_aac_lc(ffmpeg: Ffmpeg, speech: Path, tmp_path: Path) -> None:
    source, output = tmp_path / "in.mp4", tmp_path / "out.mp4"
    ffmpeg("-i", speech, "-ar", "24000", "-ac", "2", "-c:a", "aac", source)
    as_he_aac(source, 3)
    assert facts(source)[2] == 48000  # FFmpeg doubles it
    assert write_movie(output, AudioCut(source)) == "aac 224 kb/s"
    assert facts(output) == ("aac", "LC", 48000, "stereo")
    assert abs(offset_s(heard(source, is_movie=False), heard(output))) < MAX_OFFSET_S


def test_a_start_that_an_edit_list_cuts_off_is_not_carried_along(ffmpeg: Ffmpeg, speech: Path, tmp_path: Path) -> None:
    """Phones cut a recording so. A player that knows no edit lists would come to the sound that was cut off."""
    source, output = tmp_path / "in.m4a", tmp_path / "out.mp4"
    ffmpeg("-i", speech, "-ar", "48000", "-ac", "2", "-c:a", "aac", source)
    data = bytearray(source.read_bytes())
    at = data.index(b"elst") + 16  # version, count and duration before it
    assert struct.unpack_from(">i", data, at) == (AAC_BLOCK,)
    struct.pack_into(">i", data, at, AAC_BLOCK + 48000)
    source.write_bytes(data)
    assert write_movie(output, AudioCut(source)) == "copy (aac)"
    whole, cut = heard(speech, is_movie=False), heard(output)
    assert abs(offset_s(whole[48000:], cut)) < MAX_OFFSET_S
    ((_, priming),) = edits(output)
    assert priming <= 2112  # the longest in use, of Apple's encoder


def test_a_copy_of_he_aac_stays_where_it_was(ffmpeg: Ffmpeg, speech: Path, tmp_path: Path) -> None:
    source, output = tmp_path / "in.mp4", tmp_path / "out.mp4"
    ffmpeg("-i", speech, "-ar", "24000", "-ac", "2", "-c:a", "aac", source)
    as_he_aac(source, 3)
    assert write_movie(output, AudioCut(source), "copy") == "copy (aac)"
    assert sound_packets(output) == sound_packets(source)
    assert abs(offset_s(heard(source, is_movie=False), heard(output))) < MAX_OFFSET_S


@pytest.mark.parametrize(
    ("rate_hz", "written_hz"),
    [(8000, 8000), (7000, 8000), (10000, 11025), (22050, 22050), (37800, 44100), (64000, 48000), (88200, 44100),
     (96000, 48000), (176400, 44100), (192000, 48000)],
)  # fmt: skip
def test_the_sound_has_a_rate_that_every_player_has(
    ffmpeg: Ffmpeg, speech: Path, tmp_path: Path, rate_hz: int, written_hz: int
) -> None:
    """Android promises 8 to 48 kHz."""
    source, output = tmp_path / "in.wav", tmp_path / "out.mp4"
    ffmpeg("-i", speech, "-ar", str(rate_hz), "-c:a", "pcm_s16le", source)
    write_movie(output, AudioCut(source))
    assert facts(output) == ("aac", "LC", written_hz, "mono")
    assert abs(offset_s(heard(source, is_movie=False), heard(output))) < MAX_OFFSET_S


@pytest.mark.parametrize(
    ("layout", "written"),
    [("mono", "mono"), ("stereo", "stereo"), ("2.1", "3.0"), ("3.0", "3.0"), ("4.0", "4.0"), ("quad", "5.1"),
     ("5.0(side)", "5.0"), ("5.1", "5.1"), ("5.1(side)", "5.1"), ("6.1", "5.1"), ("7.1", "5.1"),
     ("7.1(wide)", "5.1"), ("hexadecagonal", "5.1")],
)  # fmt: skip
def test_the_sound_has_channels_that_every_player_has(
    ffmpeg: Ffmpeg, tmp_path: Path, layout: str, written: str
) -> None:
    source, output = tmp_path / "in.wv", tmp_path / "out.mp4"
    tones_hz = (300, 400, 500, *range(600, 600 + 100 * (av.AudioLayout(layout).nb_channels - 3), 100))
    ffmpeg("-f", "lavfi", "-i", many_tones(tones_hz[: av.AudioLayout(layout).nb_channels], layout), source)
    write_movie(output, AudioCut(source), seconds=1.0)
    assert facts(output)[3] == written


@pytest.mark.parametrize("codec", ["pcm_s16le", "pcm_f32le"])
def test_more_channels_than_six_keep_their_sides_and_their_level(ffmpeg: Ffmpeg, tmp_path: Path, codec: str) -> None:
    """Mixed as integers, as FFmpeg does to integers, the speech in the centre would be 4.6 dB quieter than it was."""
    source, output = tmp_path / "in.wav", tmp_path / "out.mp4"
    ffmpeg("-f", "lavfi", "-i", many_tones(EIGHT_HZ, "7.1"), "-c:a", codec, source)
    assert write_movie(output, AudioCut(source), seconds=1.0) == "aac 480 kb/s"
    ((layout, found_hz),) = frequencies_hz(output).items()
    assert layout == "5.1"
    left, right, centre, low, back_left, back_right = found_hz
    assert np.abs(np.subtract((left, right, centre, low), EIGHT_HZ[:4])).max() < MAX_FREQUENCY_ERROR_HZ
    assert min(abs(back_left - side) for side in EIGHT_HZ[4::2]) < MAX_FREQUENCY_ERROR_HZ
    assert min(abs(back_right - side) for side in EIGHT_HZ[5::2]) < MAX_FREQUENCY_ERROR_HZ
    with av.open(str(output)) as container:
        frames = [frame.to_ndarray() for frame in container.decode(audio=0)]
    centre_level = np.concatenate(frames, axis=1)[2, 4800:-4800].std()
    assert centre_level == pytest.approx(0.2 / np.sqrt(2), rel=0.05)


@pytest.mark.parametrize(
    ("rate_hz", "layout", "written"),
    [("48000", "7.1", (48000, "5.1")), ("96000", "stereo", (48000, "stereo")), ("7350", "mono", (8000, "mono"))],
)
def test_aac_beyond_what_players_promise_is_encoded(
    ffmpeg: Ffmpeg, tmp_path: Path, rate_hz: str, layout: str, written: tuple[int, str]
) -> None:
    source, output = tmp_path / "in.m4a", tmp_path / "out.mp4"
    tones = many_tones(EIGHT_HZ[: av.AudioLayout(layout).nb_channels], layout)
    ffmpeg("-f", "lavfi", "-i", tones, "-ar", rate_hz, "-c:a", "aac", source)
    assert write_movie(output, AudioCut(source), seconds=1.0).startswith("aac")
    assert facts(output) == ("aac", "LC", *written)
    assert write_movie(output, AudioCut(source), "copy", seconds=1.0) == "copy (aac)"
    assert sound_packets(output) == sound_packets(source)


@pytest.mark.parametrize(
    ("layout", "voice"), [("16c", 15), ("16c", None), ("7.1.4", 11), ("5.1", 3), ("2.1", 2), ("3c", 2)]
)
def test_a_voice_is_heard_in_whatever_channel_it_is(
    ffmpeg: Ffmpeg, speech: Path, tmp_path: Path, layout: str, voice: int | None
) -> None:
    """The mean of sixteen made it quieter by 24 dB; a channel that FFmpeg's mix leaves out made it silent."""
    source, output = tmp_path / "in.wav", tmp_path / "out.mp4"
    counts = {"16c": 16, "7.1.4": 12, "5.1": 6, "2.1": 3, "3c": 3}
    gains = "|".join(f"c{at}={1 if voice in (at, None) else 0}*c0" for at in range(counts[layout]))
    ffmpeg("-i", speech, "-af", f"pan={layout}|{gains}", source)
    write_movie(output, AudioCut(source))
    levels = []
    for path in (speech, output):
        with av.open(str(path)) as container:
            frames = [channel_rows(frame).astype(np.float64) for frame in container.decode(audio=0)]
        samples = np.concatenate(frames, axis=1)
        levels.append(np.square(samples / (2**15 if path == speech else 1)).mean(axis=1).max() ** 0.5)
    assert abs(20 * np.log10(levels[1] / levels[0])) < 1
    heard_speech = np.concatenate(list(SpeechReader(source, StageClock())))
    assert np.abs(heard_speech).max() > 1000


def test_sixteen_channels_become_a_sound_that_plays(ffmpeg: Ffmpeg, tmp_path: Path) -> None:
    source, output = tmp_path / "in.mka", tmp_path / "out.mp4"
    tones = many_tones(SIXTEEN_HZ, "hexadecagonal")
    ffmpeg("-f", "lavfi", "-i", tones, "-c:a", "libopus", "-mapping_family", "255", source)
    write_movie(output, AudioCut(source), seconds=1.0)
    assert facts(output) == ("aac", "LC", 48000, "mono")  # channels without names have no sides


@pytest.mark.parametrize(
    ("name", "codec", "ending", "shown"),
    [
        ("in.mp3", "libmp3lame", ".mp4", "mp3"),
        ("in.mp3", "libmp3lame", ".mov", "mp3"),
        ("in.opus", "libopus", ".mp4", "opus"),
        ("in.webm", "libopus", ".mp4", "opus"),
        ("in.flac", "flac", ".mp4", "flac"),
        ("in.ac3", "ac3", ".mp4", "ac3"),
        ("in.ac3", "ac3", ".mov", "ac3"),
        ("in.eac3", "eac3", ".mp4", "eac3"),
        ("alac.m4a", "alac", ".mp4", "alac"),
        ("alac.m4a", "alac", ".mov", "alac"),
        ("in.ogg", "libvorbis", ".mp4", "vorbis"),
        ("in.dts", "dca", ".mp4", "dts"),
        ("in.wav", "pcm_s16le", ".mov", "pcm_s16le"),
        ("in.wav", "pcm_mulaw", ".mov", "pcm_mulaw"),
        ("in.m4a", "aac", ".mp4", "aac"),
    ],
)
def test_a_copy_is_one(
    ffmpeg: Ffmpeg, speech: Path, tmp_path: Path, name: str, codec: str, ending: str, shown: str
) -> None:
    source, output = tmp_path / name, tmp_path / f"out{ending}"
    ffmpeg("-i", speech, "-ar", "48000", "-ac", "2", "-c:a", codec, "-strict", "-2", source)
    check_soundtrack(AudioCut(source), ending, "copy")
    assert write_movie(output, AudioCut(source), "copy") == f"copy ({shown})"
    assert facts(output)[0].removesuffix("float").replace("dca", "dts") == shown  # by the names of decoders
    assert abs(offset_s(heard(source, is_movie=False), heard(output))) < MAX_OFFSET_S
    if not shown.startswith("pcm"):  # MOV cuts it into pieces of another size
        assert sound_packets(output) == sound_packets(source)


@pytest.mark.parametrize(
    ("name", "codec", "ending", "start_s", "said"),
    [
        ("in.opus", "libopus", ".mov", 0, "mov does not take opus"),
        ("in.flac", "flac", ".mov", 0, "mov does not take flac"),
        ("in.wma", "wmav2", ".mp4", 0, "mp4 does not take wmav2"),
        ("in.wv", "wavpack", ".mp4", 0, "mp4 does not take wavpack"),
        ("in.mp3", "libmp3lame", ".mp4", 1, "packets cannot be cut"),
    ],
)
def test_a_copy_fails_when_the_output_cannot_hold_it(
    ffmpeg: Ffmpeg, speech: Path, tmp_path: Path, name: str, codec: str, ending: str, start_s: int, said: str
) -> None:
    source, output = tmp_path / name, tmp_path / f"out{ending}"
    ffmpeg("-i", speech, "-ar", "48000", "-c:a", codec, source)
    cut = AudioCut(source, Fraction(start_s))
    with pytest.raises(OptionError, match=said) as early:
        check_soundtrack(cut, ending, "copy")
    with pytest.raises(OptionError, match=said):
        write_movie(output, cut, "copy")
    assert str(early.value).startswith("audio-codec copy does not go with ") and "\n" not in str(early.value)
    assert str(early.value).endswith("; choose auto")
    assert [path.name for path in tmp_path.iterdir()] == [name]
    check_soundtrack(cut, ending, "auto")


def test_a_copy_fails_when_packets_are_missing(ffmpeg: Ffmpeg, speech: Path, tmp_path: Path) -> None:
    source = tmp_path / "in.mkv"
    ffmpeg("-i", speech, "-af", "aselect=lt(t\\,1)+gt(t\\,1.5)", "-c:a", "libmp3lame", source)
    with pytest.raises(OptionError, match="it has a hole at 1"):
        check_soundtrack(AudioCut(source), ".mp4", "copy")


def test_a_refusal_of_the_encoder_is_no_fault_of_the_folder(
    speech: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(soundtrack, "_aac_rate_hz", lambda _: 12345)  # a rate that AAC has not
    with pytest.raises(RefusedOutputError) as failure:
        write_movie(tmp_path / "out.mp4", AudioCut(speech))
    assert failure.value.code == "OUTPUT_REFUSED"
    assert "folder" not in str(failure.value)
    assert list(tmp_path.iterdir()) == []
