"""The decoder of a job: NVDEC only where it gives the CPU's pictures, with a reason in the report where it does not.

No machine of the suite has NVDEC, so stand-ins take its place: FFmpeg's own decoder, and others that fail.
"""

from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from av.codec.hwaccel import HWAccel

from lipsync_core import JobOptions, Workspace, lip_sync
from lipsync_core.clock import StageClock
from lipsync_core.decoder_choice import ON_CPU, choose_decoder
from lipsync_core.errors import OptionError
from lipsync_core.execution import Decoding, Execution
from lipsync_core.media.decode import decode_frames
from lipsync_core.media.hardware import HARDWARE
from lipsync_core.media.planes import plane_samples
from lipsync_core.media.probe import require_video
from lipsync_core.media.working import PictureConverter
from tests.conftest import MakeVideo
from tests.jobs import luma_frames

LARGE = "1440x810"
SHORT = JobOptions(model="viseme", end_s=Fraction(2, 5), preset="ultrafast")


def has_nvdec() -> bool:
    try:
        HWAccel("cuda").create(av.Codec("h264", "r"))
    except (av.FFmpegError, NotImplementedError):
        return False
    return True


@pytest.fixture
def large(make_video: MakeVideo) -> Path:
    return make_video("large.mp4", size=LARGE, frames=8)


def stand_in(monkeypatch: pytest.MonkeyPatch, opening: Callable[[bool], HWAccel | None]) -> list[bool]:
    """Put `opening` in the place of NVDEC; returns whether each opening had a fallback."""
    opened: list[bool] = []

    def open_it(has_fallback: bool) -> HWAccel | None:
        opened.append(has_fallback)
        return opening(has_fallback)

    monkeypatch.setattr("lipsync_core.media.stream.HARDWARE", {**HARDWARE, "nvdec": open_it})
    return opened


@pytest.mark.skipif(has_nvdec(), reason="this machine has NVDEC")
def test_auto_decodes_on_the_cpu_without_a_card_and_says_why(large: Path) -> None:
    choice = choose_decoder("auto", large, require_video(large))
    assert (choice.requested, choice.chosen) == ("auto", "cpu")
    head, _, why = choice.reason.partition(": ")
    assert head == "nvdec cannot be used here"
    assert why and str(large) not in why  # the driver's reason, not the file's


def test_auto_takes_nvdec_where_it_gives_the_same_pictures(monkeypatch: pytest.MonkeyPatch, large: Path) -> None:
    opened = stand_in(monkeypatch, lambda _: None)
    assert choose_decoder("auto", large, require_video(large)).chosen == "nvdec"
    assert opened == [False]  # a fallback to the CPU would pass the trial


def test_a_trial_that_is_ended_amid_decoding_ends(monkeypatch: pytest.MonkeyPatch, large: Path) -> None:
    """With several threads one of them logged while PyAV ended it, and both waited for ever, in one trial of four."""
    stand_in(monkeypatch, lambda _: None)
    for _ in range(20):
        assert choose_decoder("auto", large, require_video(large)).chosen == "nvdec"


def test_auto_passes_nvdec_over_where_it_gives_other_pictures(monkeypatch: pytest.MonkeyPatch, large: Path) -> None:
    convert, calls = PictureConverter.convert, []

    def convert_wrongly(self: PictureConverter, picture: av.VideoFrame) -> av.VideoFrame:
        converted = convert(self, picture)
        calls.append(converted)
        if len(calls) == 3:  # the last picture of the trial's first pass, which is NVDEC's
            plane_samples(converted, 2)[0, 0] ^= 1
        return converted

    stand_in(monkeypatch, lambda _: None)
    monkeypatch.setattr(PictureConverter, "convert", convert_wrongly)
    choice = choose_decoder("auto", large, require_video(large))
    assert (choice.chosen, choice.reason.split(": ")[-1]) == ("cpu", "its pictures are not those of the CPU")


@pytest.mark.parametrize(("requested", "size"), [("auto", "1280x720"), ("cpu", LARGE)])
def test_no_hardware_is_tried_where_it_is_not_wanted(
    monkeypatch: pytest.MonkeyPatch, make_video: MakeVideo, requested: Decoding, size: str
) -> None:
    path = make_video("video.mp4", size=size, frames=2)
    opened = stand_in(monkeypatch, lambda _: None)
    assert choose_decoder(requested, path, require_video(path)).chosen == "cpu"
    assert not opened


def test_both_passes_of_a_job_decode_with_the_chosen_decoder(
    monkeypatch: pytest.MonkeyPatch, face_clip: Path, speech_wav: Path, workspace: Workspace, tmp_path: Path
) -> None:
    monkeypatch.setattr("lipsync_core.decoder_choice.SMALL_PX", 0)
    opened = stand_in(monkeypatch, lambda _: None)
    execution = Execution(decoder="auto")
    report = lip_sync(face_clip, speech_wav, tmp_path / "a.mp4", SHORT, workspace, execution=execution)
    assert report.decoding.chosen == "nvdec"
    assert opened == [False, True, True]  # the trial, the track pass and the render pass
    on_cpu = lip_sync(face_clip, speech_wav, tmp_path / "b.mp4", SHORT, workspace)
    assert on_cpu.decoding == ON_CPU
    assert len(opened) == 3
    for one, other in zip(luma_frames(tmp_path / "a.mp4"), luma_frames(tmp_path / "b.mp4"), strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize(("stored", "from_card"), [("yuv420p", "nv12"), ("yuv420p10le", "p010le")])
def test_a_picture_in_the_format_of_the_card_becomes_the_same_picture(
    make_video: MakeVideo, stored: str, from_card: str
) -> None:
    path = make_video("video.mkv", frames=1, pix_fmt=stored)
    frame = next(decode_frames(path, StageClock()))
    packed = frame.picture.reformat(format=from_card)
    converted = PictureConverter(packed).convert(packed)
    assert converted.format.name == frame.picture.format.name
    for plane in range(3):
        np.testing.assert_array_equal(plane_samples(converted, plane), plane_samples(frame.picture, plane))


def test_an_execution_fails_when_the_decoder_is_another_name() -> None:
    with pytest.raises(OptionError, match="decoder is 'gpu'; choose cpu or auto"):
        Execution(decoder="gpu")  # type: ignore[arg-type]
