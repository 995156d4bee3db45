"""Files with several tracks: the one asked for is read, else the one that the file marks; never a cover."""

from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from lipsync_core.audio.load import SpeechReader
from lipsync_core.clock import StageClock
from lipsync_core.errors import NoVideoError, OptionError
from lipsync_core.limit_errors import StreamLimitError
from lipsync_core.limits import Limits, limited
from lipsync_core.media.decode import Reading, decode_frames, decode_in_order
from lipsync_core.media.encode import EncoderOptions
from lipsync_core.media.mux import MovieTracks, MovieWriter
from lipsync_core.media.probe import probe, require_audio, require_video
from lipsync_core.media.sound import AudioCut, decode_sound
from tests.conftest import Ffmpeg, MakeVideo
from tests.media.test_encode import picture, spec

LOW_HZ, HIGH_HZ = 300, 1500


@pytest.fixture
def film(tmp_path: Path, ffmpeg: Ffmpeg) -> Path:
    """Two pictures (dark, bright) and three sounds (low German, high English by default, silent for the blind)."""
    path = tmp_path / "film.mkv"
    sources = [
        *("-f", "lavfi", "-i", "color=0x202020:size=160x120:rate=25"),
        *("-f", "lavfi", "-i", "color=0xe0e0e0:size=96x80:rate=25"),
        *("-f", "lavfi", "-i", f"sine=frequency={LOW_HZ}:sample_rate=16000"),
        *("-f", "lavfi", "-i", f"sine=frequency={HIGH_HZ}:sample_rate=16000"),
        *("-f", "lavfi", "-i", "anullsrc=sample_rate=16000:channel_layout=mono"),
    ]
    maps = [part for number in range(5) for part in ("-map", str(number))]
    marks = [
        *("-disposition:v:0", "0", "-disposition:v:1", "default"),
        *("-disposition:a:0", "0", "-disposition:a:1", "default", "-disposition:a:2", "visual_impaired"),
        *("-metadata:s:a:0", "language=ger", "-metadata:s:a:1", "language=eng", "-metadata:s:a:1", "title=Original"),
    ]
    ffmpeg(*sources, *maps, *marks, "-t", "1", "-c:v", "libx264", "-c:a", "aac", path)
    return path


def brightness(path: Path, track: str | None) -> float:
    frames = [
        frame.picture.to_ndarray(format="gray")
        for frame in decode_frames(path, StageClock(), reading=Reading(track=track))
    ]
    (again,) = decode_in_order(path, [3], StageClock(), reading=Reading(track=track))
    np.testing.assert_array_equal(frames[3], again.picture.to_ndarray(format="gray"))
    assert len(frames) == 25
    return float(frames[0].mean())


def pitch_hz(samples: np.ndarray) -> float:
    spectrum = np.abs(np.fft.rfft(samples))
    return float(spectrum.argmax() * 16_000 / len(samples))


@pytest.mark.parametrize(("track", "is_bright"), [(None, True), ("0", False), ("1", True)])
def test_the_chosen_pictures_are_decoded(film: Path, track: str | None, is_bright: bool) -> None:
    assert (brightness(film, track) > 128) == is_bright
    assert require_video(film, track).width_px == (96 if is_bright else 160)


@pytest.mark.parametrize(
    ("track", "hz"),
    [
        *((None, HIGH_HZ), ("0", LOW_HZ), ("1", HIGH_HZ), ("de", LOW_HZ), ("ger", LOW_HZ), ("DEU", LOW_HZ)),
        *(("en", HIGH_HZ), ("en-US", HIGH_HZ), ("de_AT", LOW_HZ)),
    ],
)
def test_the_chosen_sound_is_heard_and_written(film: Path, tmp_path: Path, track: str | None, hz: int) -> None:
    heard = np.concatenate(list(SpeechReader(film, StageClock(), track=track)))
    assert pitch_hz(heard) == pytest.approx(hz, abs=5)
    output = tmp_path / "out.mp4"
    cut = AudioCut(film, Fraction(0), None, track)
    with MovieWriter(output, spec(), EncoderOptions(preset="ultrafast"), MovieTracks(cut), StageClock()) as movie:
        for index in range(25):
            movie.write(picture(index), index, 1)
    written = np.concatenate([frame.to_ndarray()[0] for frame in decode_sound(AudioCut(output))])
    assert pitch_hz(written) == pytest.approx(hz, abs=5)


def test_a_description_for_the_blind_is_taken_only_where_there_is_no_other(film: Path, tmp_path: Path) -> None:
    silent_first = tmp_path / "blind.mkv"
    with av.open(str(film)) as source, av.open(str(silent_first), "w") as target:
        streams = {}
        for number in (4, 2):  # the silent one, then the German one
            streams[number] = target.add_stream_from_template(source.streams[number])
            streams[number].disposition = source.streams[number].disposition
        for packet in source.demux([source.streams[number] for number in streams]):
            if packet.dts is not None:
                packet.stream = streams[packet.stream.index]
                target.mux(packet)
    assert [track.is_chosen for track in probe(silent_first).audio_tracks] == [False, True]
    heard = np.concatenate(list(SpeechReader(silent_first, StageClock())))
    assert pitch_hz(heard) == pytest.approx(LOW_HZ, abs=5)


def test_sound_for_the_hard_of_hearing_goes_behind_the_plain_one(film: Path, tmp_path: Path, ffmpeg: Ffmpeg) -> None:
    path = tmp_path / "hearing.ts"
    marks = ("-disposition:a:0", "hearing_impaired", "-disposition:a:1", "0")
    ffmpeg("-i", film, "-map", "0:v:0", "-map", "0:a:0", "-map", "0:a:1", *marks, "-c", "copy", path)
    assert [track.is_chosen for track in probe(path).audio_tracks] == [False, True]


def test_tracks_are_listed(film: Path) -> None:
    found = probe(film)
    assert [(track.number, track.codec, track.is_default, track.is_chosen) for track in found.video_tracks] == [
        (0, "h264", False, False),
        (1, "h264", True, True),
    ]
    assert [(track.language, track.title, track.is_chosen) for track in found.audio_tracks] == [
        ("ger", "", False),
        ("eng", "Original", True),
        ("", "", False),
    ]


@pytest.mark.parametrize("track", ["7", "fr", "-1", "", "0.5"])
def test_choosing_fails_when_there_is_no_such_track(film: Path, track: str) -> None:
    with pytest.raises(OptionError, match=r"no audio track .*it has 0 \(ger\), 1 \(eng\), 2 \(no language\)"):
        require_audio(film, track)
    with pytest.raises(OptionError, match="no video track"):
        require_video(film, track)


@pytest.mark.parametrize("track", ["9" * 5000, "x" * 5000], ids=["number", "language"])
def test_a_track_of_thousands_of_characters_is_a_fault_of_the_option_in_a_short_line(film: Path, track: str) -> None:
    """Python converts no number so long, and the file was blamed."""
    with pytest.raises(OptionError, match="the file has no audio track '") as caught:
        require_audio(film, track)
    assert len(str(caught.value)) < 300


@pytest.mark.parametrize("mark", ["attached_pic", "default"])
def test_a_cover_in_front_of_the_film_is_not_the_film(
    mark: str, make_video: MakeVideo, ffmpeg: Ffmpeg, tmp_path: Path
) -> None:
    # Some programs do not mark the cover as one.
    cover = make_video("cover.jpg", frames=1, codec="mjpeg", pix_fmt="yuvj420p", size="64x64")
    moving = make_video("moving.mp4", frames=10)
    path = tmp_path / "covered.mp4"
    ffmpeg(
        *("-i", cover, "-i", moving, "-map", "0", "-map", "1", "-c", "copy"),
        *("-disposition:v:0", mark, "-disposition:v:1", "0", path),
    )
    assert require_video(path).codec == "h264"
    assert len(list(decode_frames(path, StageClock()))) == 10


def test_a_cover_cannot_be_chosen(make_video: MakeVideo, ffmpeg: Ffmpeg, tmp_path: Path) -> None:
    cover = make_video("cover.jpg", frames=1, codec="mjpeg", pix_fmt="yuvj420p", size="64x64")
    song = tmp_path / "song.mp4"
    ffmpeg(
        *("-f", "lavfi", "-i", "sine=frequency=220:duration=1", "-i", cover, "-map", "0", "-map", "1"),
        *("-c:a", "aac", "-c:v", "copy", "-disposition:v", "attached_pic", song),
    )
    with pytest.raises(NoVideoError):
        require_video(song, "0")


@pytest.mark.parametrize("ending", ["mkv", "mov", "ts"])
def test_more_streams_than_may_be_are_a_limit_in_every_container(
    film: Path, ending: str, tmp_path: Path, ffmpeg: Ffmpeg
) -> None:
    path = tmp_path / f"whole.{ending}"
    ffmpeg("-i", film, "-map", "0", "-c", "copy", path)
    with limited(Limits(max_streams=5)):
        assert len(probe(path).audio_tracks) == 3
    with limited(Limits(max_streams=4)), pytest.raises(StreamLimitError, match="has more than 4 streams"):
        probe(path)
