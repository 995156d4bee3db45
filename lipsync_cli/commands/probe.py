"""`lipsync probe`: shows the properties of a media file, as the product reads them."""

import json
from dataclasses import asdict
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from lipsync_cli.environment import rules_of_reading, start_no_blas_threads
from lipsync_cli.failures import write_stdout
from lipsync_cli.values import LocalFile

if TYPE_CHECKING:
    from lipsync_core.media.probe import AudioInfo, MediaInfo, VideoInfo
    from lipsync_core.media.tracks import TrackInfo

SCHEMA = "lipsync.probe/1"


@click.command()
@click.argument("file", type=LocalFile())
@click.option("--json", "as_json", is_flag=True, help="Write one JSON object.")
def probe(file: Path, as_json: bool) -> None:
    """Say what FILE holds: container, video, audio."""
    info = probed(file)
    write_stdout(json.dumps(_fields(info), indent=2) if as_json else described(info))


def probed(file: Path) -> "MediaInfo":
    """The file's properties, by the limits and lists of the environment; raises as `lipsync_core.media.probe.probe`."""
    start_no_blas_threads()
    from lipsync_core.shortage import require_room_for_libraries

    require_room_for_libraries()
    from lipsync_core.isolation.room import reading_room
    from lipsync_core.media.probe import probe as probe_media

    with rules_of_reading(), reading_room("probes"):
        return probe_media(file)


def described(info: "MediaInfo") -> str:
    """The same in lines of text."""
    lines = [
        f"file   {info.path}",
        f"       {info.container}, {info.size_bytes} bytes",
        f"video  {_video_text(info.video) if info.video else 'none'}",
        f"audio  {_audio_text(info.audio) if info.audio else 'none'}",
        *_track_lines("video", info.video_tracks),
        *_track_lines("audio", info.audio_tracks),
        *(f"unread {each}" for each in info.unreadable),
    ]
    return "\n".join(lines)


def _track_lines(kind: str, tracks: "tuple[TrackInfo, ...]") -> list[str]:
    """One line for each track where there are several to choose from."""
    if len(tracks) < 2:
        return []
    return [
        f"       {'*' if track.is_chosen else ' '} --{kind}-track {track.number}: "
        + ", ".join(part for part in (track.language or "no language", track.codec, track.title) if part)
        + (", the file's default" if track.is_default else "")
        for track in tracks
    ]


def _video_text(video: "VideoInfo") -> str:
    from lipsync_core.media.colour import HDR_NAMES

    kind = "still image, " if video.is_still else ""
    parts = [f"{kind}{video.codec}, {video.width_px}x{video.height_px}, {video.pix_fmt}"]
    if not video.is_still:
        parts.append(f"{video.frame_rate} frames/s ({float(video.frame_rate):.3f})")
        parts.append(_duration_text(video.duration_s))
    if video.rotation_deg:
        parts.append(f"rotated by {video.rotation_deg}°")
    if video.is_mirrored:
        parts.append("mirrored")
    parts += video.still_changes
    if video.says_interlaced:
        parts.append("marked as interlaced")
    if video.colour.transfer in HDR_NAMES:
        parts.append(f"HDR ({HDR_NAMES[video.colour.transfer]})")
    if video.sample_aspect_ratio != 1:
        parts.append(f"pixels {video.sample_aspect_ratio.numerator}:{video.sample_aspect_ratio.denominator}")
    return ", ".join(parts)


def _audio_text(audio: "AudioInfo") -> str:
    rate = f", {audio.bit_rate / 1000:.0f} kb/s" if audio.bit_rate else ""
    channels = f"{audio.channels} channel" + ("s" if audio.channels != 1 else "")
    return f"{audio.codec}, {audio.rate_hz} Hz, {channels}{rate}, {_duration_text(audio.duration_s)}"


def _duration_text(duration_s: Fraction | None) -> str:
    return "duration unknown" if duration_s is None else f"{float(duration_s):.3f} s"


def _fields(info: "MediaInfo") -> dict[str, Any]:
    return {
        "schema": SCHEMA,
        "path": str(info.path),
        "container": info.container,
        "size_bytes": info.size_bytes,
        "video": _video_fields(info.video) if info.video else None,
        "audio": _audio_fields(info.audio) if info.audio else None,
        "video_tracks": [asdict(track) for track in info.video_tracks],
        "audio_tracks": [asdict(track) for track in info.audio_tracks],
        "unreadable": list(info.unreadable),
    }


def _video_fields(video: "VideoInfo") -> dict[str, Any]:
    colour = video.colour
    return {
        "codec": video.codec,
        "width_px": video.width_px,
        "height_px": video.height_px,
        "pix_fmt": video.pix_fmt,
        "frame_rate": str(video.frame_rate),
        "time_base": str(video.time_base),
        "frame_count": video.frame_count,
        "duration_s": _seconds(video.duration_s),
        "rotation_deg": video.rotation_deg,
        "is_mirrored": video.is_mirrored,
        "still_changes": list(video.still_changes),
        "says_interlaced": video.says_interlaced,
        "sample_aspect_ratio": str(video.sample_aspect_ratio),
        "colour": {
            "matrix": colour.matrix,
            "range": colour.range,
            "primaries": colour.primaries,
            "transfer": colour.transfer,
        },
        "is_still": video.is_still,
    }


def _audio_fields(audio: "AudioInfo") -> dict[str, Any]:
    return {
        "codec": audio.codec,
        "rate_hz": audio.rate_hz,
        "channels": audio.channels,
        "layout": audio.layout,
        "bit_rate": audio.bit_rate,
        "duration_s": _seconds(audio.duration_s),
    }


def _seconds(duration_s: Fraction | None) -> float | None:
    return None if duration_s is None else float(duration_s)
