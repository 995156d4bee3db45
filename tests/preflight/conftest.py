"""Inputs with one fault each, made of the portrait in the public domain and of the demo's speech."""

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.conftest import Ffmpeg
from tests.made_once import made_once

SECONDS = "2.4"
FAST = ("-an", "-t", SECONDS, "-c:v", "libx264", "-preset", "ultrafast", "-crf", "16", "-pix_fmt", "yuv420p")
FACE_PX = 153  # of the portrait's face in the clip of 640x360
SHAKEN = "crop=iw-80:ih-80:40+30*sin(20*t):40+30*cos(17*t)"
WOVEN = "setpts=0.5*PTS,fps=50,scale=720:576,setsar=1,tinterlace=mode=interleave_top,fieldorder=tff"
#: FFmpeg's filters that make each video of the good one.
FILTERS = {
    "good": "null",
    "two people": "crop=320:360:120:0,split[a][b];[b]hflip[c];[a][c]hstack",
    "a person and a crowd": "split[a][b];[b]scale=176:-2[c];[a][c]overlay=460:250",
    **{
        f"{px} px": f"scale=trunc(iw*{px}/{FACE_PX}/2)*2:-2,pad=640:360:(ow-iw)/2:(oh-ih)/2:gray"
        for px in (30, 60, 120)
    },
    "cropped chin": "crop=640:196:0:0",
    "cropped cheek": "crop=300:360:270:0",
    "late face": "drawbox=t=fill:c=gray:enable='lt(t,1.1)'",
    "leaving face": "drawbox=t=fill:c=gray:enable='gt(t,1.3)'",
    "blank moment": "drawbox=t=fill:c=gray:enable='between(t,0.9,1.1)'",
    "upside down": "hflip,vflip",
    "sideways": "transpose=1",
    "black": "drawbox=t=fill:c=black",
    "dark": "lutyuv=y='16+(val-16)*0.08':u='128+(val-128)*0.08':v='128+(val-128)*0.08'",
    "nobody": "drawbox=t=fill:c=gray",
    "interlaced": f"{SHAKEN},{WOVEN}",
}
#: FFmpeg's filters that make each sound of the demo's speech, which is mono.
SOUND_FILTERS = {
    "speech": "anull",
    "stereo speech": "pan=stereo|c0=c0|c1=c0",
    "one silent channel": "pan=stereo|c0=c0|c1=0*c0",
    "inverse channels": "pan=stereo|c0=c0|c1=-1*c0",
    "clipped": "volume=12dB",
    "quiet": "volume=-35dB",
    "silent": "volume=0",
}
#: Two seconds of speech, and silence.
LONG_SOUNDS = {
    "speech before silence": "atrim=end=2,apad=whole_dur=30",
    "speech behind silence": "atrim=end=2,adelay=28s",
}
MakeInput = Callable[[str], Path]


@pytest.fixture(scope="session")
def faulty_video(face_clip: Path, ffmpeg: Ffmpeg, tmp_path_factory: pytest.TempPathFactory) -> MakeInput:
    """Makes the video of that name, once in a run."""

    def make(name: str) -> Path:
        if name == "truncated":
            whole = faulty("whole.mkv", "null")
            data = whole.read_bytes()
            return made_once(
                tmp_path_factory, "truncated.mkv", lambda path: path.write_bytes(data[: len(data) * 4 // 10])
            )
        return faulty(f"faulty {name}.mp4", FILTERS[name])

    def faulty(file: str, graph: str) -> Path:
        fields = ("-flags", "+ilme+ildct", "-x264-params", "tff=1") if "interlaced" in file else ()
        command = ("-i", face_clip, "-filter_complex", graph, *FAST, *fields)
        return made_once(tmp_path_factory, file, lambda path: ffmpeg(*command, path))

    return make


@pytest.fixture(scope="session")
def faulty_sound(speech_wav: Path, ffmpeg: Ffmpeg, tmp_path_factory: pytest.TempPathFactory) -> MakeInput:
    """Makes four seconds of the sound of that name, or more with silence in it, once in a run."""

    def make(name: str) -> Path:
        source = ("-f", "lavfi", "-i", "sine=frequency=220") if name == "tone" else ("-i", speech_wav)
        command = (
            *source,
            "-af",
            (SOUND_FILTERS | LONG_SOUNDS).get(name, "anull"),
            "-t",
            "30" if name in LONG_SOUNDS else "4",
        )
        return made_once(tmp_path_factory, f"faulty {name}.wav", lambda path: ffmpeg(*command, path))

    return make
