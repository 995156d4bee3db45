"""Encoders under NVENC's name for machines without a card: x264 itself, which works or fails in a given way."""

from __future__ import annotations

from typing import ClassVar, Self

import av
import pytest
from av.container import OutputContainer
from av.video.stream import VideoStream

from lipsync_core.clock import StageClock
from lipsync_core.errors import OutputError
from lipsync_core.media.encode import Encoder, EncoderOptions, PictureSpec
from lipsync_core.media.encoder_trial import try_encoder
from lipsync_core.media.encoders import ENCODERS, X264Encoder, find_encoder
from lipsync_core.media.probe import ColourTags
from lipsync_core.media.working import WorkingPicture

NVENC = "h264_nvenc"


def reason_against_nvenc() -> str | None:
    """FFmpeg's reason why NVENC does not work on this machine; None where it does."""
    usual = WorkingPicture(1280, 720, "yuv420p", ColourTags(1, 1, 1, 1))
    try:
        try_encoder(find_encoder(NVENC), usual, EncoderOptions(NVENC))
    except OutputError as exc:
        return exc.message
    return None


def nvenc_works() -> bool:
    """Whether this machine has NVENC."""
    return reason_against_nvenc() is None


class WorkingNvenc(X264Encoder):
    """Works as x264 does."""

    name: ClassVar[str] = NVENC


class RefusingNvenc(WorkingNvenc):
    """Is refused by FFmpeg when it opens, with a line in FFmpeg's log, as a card without an encoder is."""

    @classmethod
    def settings(cls, spec: PictureSpec, options: EncoderOptions) -> dict[str, str]:
        """See `X264Encoder.settings`."""
        return {"preset": "no-such-preset"}


class BlackNvenc(WorkingNvenc):
    """Encodes a black picture in the place of each."""

    def encode(self, picture: av.VideoFrame, pts: int, duration: int) -> list[av.Packet[VideoStream]]:
        """See `Encoder.encode`."""
        for plane in picture.planes:
            plane.update(bytes(plane.buffer_size))
        return super().encode(picture, pts, duration)


class OnceNvenc(WorkingNvenc):
    """Opens once, for the trial, as where other movies have taken the card's last session since."""

    opened: ClassVar[int] = 0

    @classmethod
    def settings(cls, spec: PictureSpec, options: EncoderOptions) -> dict[str, str]:
        """See `X264Encoder.settings`."""
        return super().settings(spec, options) if OnceNvenc.opened <= 1 else {"preset": "no-such-preset"}

    @classmethod
    def open(cls, container: OutputContainer, spec: PictureSpec, options: EncoderOptions, clock: StageClock) -> Self:
        """See `Encoder.open`."""
        OnceNvenc.opened += 1
        return super().open(container, spec, options, clock)


def register(monkeypatch: pytest.MonkeyPatch, encoder: type[Encoder]) -> None:
    """Put `encoder` in the place of NVENC for H.264, until the test ends."""
    OnceNvenc.opened = 0
    monkeypatch.setattr("lipsync_core.media.encoders.ENCODERS", {**ENCODERS, NVENC: encoder})
