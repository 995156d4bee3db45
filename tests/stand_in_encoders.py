"""Encoders under NVENC's name for machines without a card: x264 itself, which works or fails in a given way."""

from __future__ import annotations

from typing import ClassVar, Self

import av
import pytest
from av.container import OutputContainer
from av.video.stream import VideoStream

from lipsync_core.clock import StageClock
from lipsync_core.media.encode import Encoder, EncoderOptions, PictureSpec
from lipsync_core.media.encoders import ENCODERS, X264Encoder

NVENC = "h264_nvenc"


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
