"""Small media of every container and of most codecs that are read: what the fuzzer mutates."""

from __future__ import annotations

import subprocess
from pathlib import Path

import imageio_ffmpeg

_PICTURE = ("-f", "lavfi", "-i", "testsrc2=s=64x48:r=25:d=0.4")
_SOUND = ("-f", "lavfi", "-i", "sine=d=0.4:r=16000")
_X264 = ("-c:v", "libx264", "-preset", "ultrafast", "-g", "5")
#: Each name with ffmpeg's settings; those with "sound" first have no picture.
_MEDIA: dict[str, tuple[str, ...]] = {
    "h264.mp4": (*_X264, "-c:a", "aac"),
    "pieces.mp4": (*_X264, "-c:a", "aac", "-movflags", "frag_keyframe+empty_moov"),
    "hevc.mov": ("-c:v", "libx265", "-x265-params", "log-level=none", "-preset", "ultrafast", "-c:a", "alac"),
    "av1.mp4": ("-c:v", "libsvtav1", "-preset", "10", "-an"),
    "prores.mov": ("-c:v", "prores_ks", "-c:a", "pcm_s16le"),
    "vp9.webm": ("-c:v", "libvpx-vp9", "-deadline", "realtime", "-c:a", "libopus"),
    "ffv1.mkv": ("-c:v", "ffv1", "-c:a", "flac"),
    "mjpeg.avi": ("-c:v", "mjpeg", "-c:a", "pcm_u8"),
    "mpeg4.avi": ("-c:v", "mpeg4", "-c:a", "libmp3lame"),
    "mpeg2.ts": ("-c:v", "mpeg2video", "-c:a", "mp2"),
    "mpeg2.mpg": ("-c:v", "mpeg2video", "-c:a", "mp2"),
    "vp8.webm": ("-c:v", "libvpx", "-deadline", "realtime", "-c:a", "libvorbis"),
    "theirs.flv": ("-c:v", "flv", "-c:a", "libmp3lame", "-ar", "22050"),
    "theirs.wmv": ("-c:v", "wmv2", "-c:a", "wmav2"),
    "plain.y4m": ("-an", "-pix_fmt", "yuv420p"),
    "loop.gif": ("-an",),
    "raw.h264": (*_X264, "-an"),
    "still.png": ("-an", "-frames:v", "1"),
    "still.jpg": ("-an", "-frames:v", "1"),
    "still.webp": ("-an", "-frames:v", "1", "-c:v", "libwebp"),
    "still.bmp": ("-an", "-frames:v", "1"),
    "still.tiff": ("-an", "-frames:v", "1"),
    "sound.wav": ("-vn", "-c:a", "pcm_s16le"),
    "float.wav": ("-vn", "-c:a", "pcm_f32le", "-ac", "6"),
    "sound.flac": ("-vn",),
    "sound.mp3": ("-vn", "-c:a", "libmp3lame"),
    "sound.aac": ("-vn", "-c:a", "aac"),
    "sound.m4a": ("-vn", "-c:a", "aac", "-ac", "2"),
    "sound.ogg": ("-vn", "-c:a", "libvorbis"),
    "sound.opus": ("-vn", "-c:a", "libopus"),
    "sound.aiff": ("-vn",),
    "sound.caf": ("-vn", "-c:a", "pcm_s16le"),
    "sound.ac3": ("-vn", "-c:a", "ac3", "-ar", "32000"),
    "sound.wv": ("-vn",),
    "sound.au": ("-vn",),
}


def make(folder: Path) -> list[Path]:
    """The media in `folder`, in one order; made where they are not there yet."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, settings in _MEDIA.items():
        path = folder / name
        if not path.exists():
            part = path.with_name(f"part-{name}")
            command = [imageio_ffmpeg.get_ffmpeg_exe(), "-v", "error", "-nostdin", "-y", *_PICTURE, *_SOUND]
            subprocess.run([*command, *settings, "-bitexact", str(part)], check=True, capture_output=True, timeout=60)
            part.rename(path)
    return [folder / name for name in _MEDIA]
