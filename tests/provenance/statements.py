"""What the tests' movies say of how they were made."""

from pathlib import Path

from lipsync_core.movie_signer import audio_input, video_input
from lipsync_core.provenance.ingredients import Input
from lipsync_core.provenance.statement import Statement

STATEMENT = Statement("viseme/2", "Apache-2.0", None, None, frames=25, synced=20)
SHA256 = "0123456789abcdef" * 4


def inputs_of(video: Path) -> tuple[Input, ...]:
    """`video`, and a sound that it is said to carry."""
    return (video_input(video, video.name, SHA256), audio_input(video, "speech.wav", SHA256))
