"""The digest of a movie: the hash of each picture and of each sound packet, and its streams and tags."""

import hashlib
from dataclasses import dataclass
from pathlib import Path

import av
import numpy as np
from av.audio.stream import AudioStream
from av.video.stream import VideoStream


@dataclass(frozen=True, slots=True)
class MovieDigest:
    """The properties in which two files of the same movie agree; the hash of the whole file is kept apart."""

    container: dict[str, str]
    video: dict[str, str]
    audio: dict[str, str]
    frames: tuple[str, ...]  # "pts sha256" of each decoded picture, rotation included
    sound: tuple[str, ...]  # "pts duration sha256" of each packet
    file_sha256: str


def digest_movie(path: Path) -> MovieDigest:
    """Decode every picture of `path` and read every sound packet."""
    with av.open(str(path)) as container:
        video, audio = container.streams.video[0], container.streams.audio[0]
        frames = tuple(_picture(frame) for frame in container.decode(video))
        facts = {
            "format": container.format.name,
            "duration": str(container.duration),
            "streams": " ".join(stream.type for stream in container.streams),
            **_tags(container.metadata),
        }
        about_video, about_audio = _video(video), _audio(audio)
    with av.open(str(path)) as container:
        sound = tuple(
            f"{packet.pts} {packet.duration} {hashlib.sha256(bytes(packet)).hexdigest()}"
            for packet in container.demux(container.streams.audio[0])
            if packet.size
        )
    return MovieDigest(facts, about_video, about_audio, frames, sound, sha256_of(path))


def sha256_of(path: Path) -> str:
    """64 hex digits over the whole file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _picture(frame: av.VideoFrame) -> str:
    digest = hashlib.sha256()
    for plane in frame.planes:
        rows = np.frombuffer(plane, np.uint8).reshape(plane.height, plane.line_size)  # (H, line) with padding
        width_bytes = plane.width * (2 if "10" in frame.format.name else 1)
        digest.update(np.ascontiguousarray(rows[:, :width_bytes]))
    return f"{frame.pts} {digest.hexdigest()} {frame.format.name} {frame.rotation}"


def _video(stream: VideoStream) -> dict[str, str]:
    codec = stream.codec_context
    return {
        **_stream(stream),
        "size": f"{codec.width}x{codec.height}",
        "pix_fmt": str(codec.pix_fmt),
        "sample_aspect_ratio": str(stream.sample_aspect_ratio),
        "rates": f"{stream.average_rate} {stream.base_rate} {stream.guessed_rate}",
        "colour": f"{codec.colorspace} {codec.color_range} {codec.color_primaries} {codec.color_trc}",
        "reordering": str(codec.has_b_frames),
    }


def _audio(stream: AudioStream) -> dict[str, str]:
    codec = stream.codec_context
    return {**_stream(stream), "rate": str(codec.sample_rate), "layout": codec.layout.name, "format": codec.format.name}


def _stream(stream: VideoStream | AudioStream) -> dict[str, str]:
    codec = stream.codec_context
    return {
        "codec": codec.name,
        "profile": str(codec.profile),
        "bit_rate": str(codec.bit_rate),
        "time_base": str(stream.time_base),
        "start": str(stream.start_time),
        "duration": str(stream.duration),
        "packets": str(stream.frames),
        "disposition": str(int(stream.disposition)),
        "parameters_sha256": hashlib.sha256(codec.extradata or b"").hexdigest(),
        **_tags(stream.metadata),
    }


def _tags(metadata: dict[str, str]) -> dict[str, str]:
    return {f"tag {name}": text for name, text in sorted(metadata.items())}
