"""Hostile files, each a few lines that make it, with the code that the product ends with."""

from __future__ import annotations

import os
import socket
import struct
from fractions import Fraction
from pathlib import Path

from tests.hostile.bombs import BOMBS
from tests.hostile.boxes import numbers, wav, y4m
from tests.hostile.case import Case, data, like
from tests.hostile.index_bombs import INDEX_BOMBS
from tests.hostile.movies import BAIT, elsewhere, raw_movie, with_alien_sound
from tests.hostile.picture_bombs import PICTURE_BOMBS
from tests.hostile.tag_bombs import TAG_BOMBS

_TONE = struct.pack("<h", 3000) * 8000
_MILLION = 1_000_000


def short_flac(content: bytes) -> bytes:
    """A FLAC whose header says that it plays for a second (the low 36 bits of the fourth field of STREAMINFO)."""
    at = 8 + 10
    head = int.from_bytes(content[at : at + 8])
    return content[:at] + (head & ~((1 << 36) - 1) | 16000).to_bytes(8) + content[at + 8 :]


def short_matroska(content: bytes) -> bytes:
    """A Matroska file that says it plays for 100 ms: its Duration, and the tags of its tracks."""
    at = content.index(b"\x44\x89\x88") + 3
    return (content[:at] + struct.pack(">d", 100.0) + content[at + 8 :]).replace(b"00:00:00.4", b"00:00:00.1")


def long_matroska(path: Path) -> None:
    """Twelve seconds of video that say they are a tenth of one."""
    import av
    import numpy as np

    with av.open(str(path), "w", format="matroska") as container:
        stream = container.add_stream("ffv1", rate=25)
        stream.width = stream.height = 16
        stream.pix_fmt = "yuv420p"
        for number in range(300):
            picture = av.VideoFrame.from_ndarray(np.full((24, 16), number % 200, np.uint8), format="yuv420p")
            container.mux(stream.encode(picture))
        container.mux(stream.encode(None))
    path.write_bytes(short_matroska(path.read_bytes()).replace(b"00:00:12.0", b"00:00:00.1"))


def holes(path: Path) -> None:
    """A Matroska file of 28 s of sound whose packets are a minute apart, but for a second."""
    import av

    with av.open(str(path), "w", format="matroska") as container:
        stream = container.add_stream("pcm_s16le", rate=16000, layout="mono")
        for number in range(1400):
            packet = av.Packet(bytes(640))
            packet.stream, packet.time_base = stream, Fraction(1, 1000)
            packet.pts = packet.dts = number * 59_000
            container.mux(packet)


def short_mp3(content: bytes) -> bytes:
    """An MP3 whose first frame says that there are two more."""
    at = next(content.index(name) for name in (b"Xing", b"Info") if name in content)
    return content[: at + 8] + numbers(2) + content[at + 12 :]


def long_flac(path: Path) -> None:
    """A minute of silence that says it is a second."""
    import av
    import numpy as np

    with av.open(str(path), "w", format="flac") as container:
        stream = container.add_stream("flac", rate=16000, layout="mono")
        for _ in range(60):
            frame = av.AudioFrame.from_ndarray(np.zeros((1, 16000), np.int16), format="s16", layout="mono")
            frame.sample_rate = 16000
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    path.write_bytes(short_flac(path.read_bytes()))


def uneven_flac(odd_hz: int = 1, odd_samples: int = 4096) -> bytes:
    """A FLAC of 48 kHz with one block of 4096 samples at 1 Hz: more than an hour, 197 million samples at 48 kHz.

    Each frame (RFC 9639, 9) has a block size and a rate of 16 bits behind its header, and one constant subframe.
    """
    frames = []
    for number in range(25):
        rate, samples = (odd_hz, odd_samples) if number == 12 else (48000, 4096)
        head = b"\xff\xf8\x7d\x08" + struct.pack(">BHH", number, samples - 1, rate)
        head += bytes([_crc(head, 8, 0x07)])
        body = head + b"\0" + struct.pack(">h", 1000)
        frames.append(body + struct.pack(">H", _crc(body, 16, 0x8005)))
    stream_info = struct.pack(">HH", 16, 65535) + bytes(6) + (48000 << 44 | 15 << 36).to_bytes(8, "big") + bytes(16)
    return b"fLaC" + b"\x80" + len(stream_info).to_bytes(3, "big") + stream_info + b"".join(frames)


def _crc(content: bytes, bits: int, polynomial: int) -> int:
    value, top, mask = 0, 1 << bits - 1, (1 << bits) - 1
    for byte in content:
        value ^= byte << bits - 8
        for _ in range(8):
            value = (value << 1 ^ (polynomial if value & top else 0)) & mask
    return value


def _socket(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as opened:
        opened.bind(os.fspath(path))


_HLS = "#EXTM3U\n#EXT-X-TARGETDURATION:5\n#EXTINF:5,\n{}\n#EXT-X-ENDLIST\n"
_CONCAT = "ffconcat version 1.0\nfile {}\n"
_REFUSED = "MEDIA_REFUSED"
PLAYLISTS = (
    Case(
        "self.m3u8", _REFUSED, data("#EXTM3U\n#EXT-X-STREAM-INF:BANDWIDTH=1\nself.m3u8\n"), label="a playlist of itself"
    ),
    Case("relative.m3u8", _REFUSED, data(_HLS.format(BAIT))),
    Case("above.m3u8", _REFUSED, data(_HLS.format(f"../work/{BAIT}"))),
    Case("list.mp4", _REFUSED, lambda path: path.write_text(_HLS.format(path.parent / BAIT))),
    Case("list.wav", _REFUSED, lambda path: path.write_text(_HLS.format((path.parent / BAIT).as_uri())), is_sound=True),
    Case("concat.mp4", _REFUSED, data(_CONCAT.format(BAIT))),
    Case("concat.txt", _REFUSED, lambda path: path.write_text(_CONCAT.format(path.parent / BAIT))),
    Case("concat.wav", _REFUSED, data(_CONCAT.format(BAIT)), is_sound=True),
    Case("session.sdp", _REFUSED, data("v=0\no=- 0 0 IN IP4 ::1\ns=x\nc=IN IP4 127.0.0.1\nm=video 9 RTP/AVP 96\n")),
    Case("metadata.mp4", _REFUSED, data(";FFMETADATA1\ntitle=x\n[CHAPTER]\nSTART=0\nEND=1\n")),
    Case("lines.srt", _REFUSED, data("1\n00:00:00,000 --> 00:00:01,000\nHello\n\n2\n00:00:01,000 --> 00:00:02,000\n")),
    Case("readme.nfo", "MEDIA_UNREADABLE", data("This is a text about a film.\n" * 40)),
    Case("graph.lavfi", "MEDIA_UNREADABLE", data("movie=bait.mp4")),
    Case("picture.svg", "MEDIA_UNREADABLE", data('<?xml version="1.0"?><svg xmlns="http://www.w3.org/2000/svg"/>')),
    Case(
        "manifest.mpd",
        "MEDIA_UNREADABLE",
        data(
            '<?xml version="1.0"?><MPD xmlns="urn:mpeg:dash:schema:mpd:2011" profiles="urn:mpeg:dash:profile:isoff'
            f'-live:2011" type="static"><Period><BaseURL>{BAIT}</BaseURL></Period></MPD>'
        ),
    ),
    Case("elsewhere.mov", "NO_VIDEO", elsewhere, probed=""),
)
NAMES = tuple(
    Case(name, "NO_FACE", like("h264.mp4"), probed="")
    for name in (
        "concat:a|bait.mp4", "file:bait.mp4", "subfile,,start,0,end,9,,:bait.mp4", "data:text,x.mp4", "pipe:0",
        "http:bait.mp4", "many%03d.mp4", "fd:", "crypto:bait.mp4", "cache:bait.mp4", "tee:bait.mp4", "a\nb.mp4",
    )
)  # fmt: skip
RATES = (
    Case("fast.y4m", "LIMIT_FRAME_RATE", data(y4m("1000000000:1"))),
    Case("quick.y4m", "LIMIT_FRAME_RATE", data(y4m("98000:1"))),
    Case("micro.mov", "LIMIT_FRAME_RATE", data(raw_movie(300, 1, _MILLION))),
    Case("nine.mov", "LIMIT_FRAME_RATE", data(raw_movie(300, 1, 98_000))),
    Case("slow.y4m", "LIMIT_DURATION", data(y4m("1:1000000"))),
    Case("planned.y4m", "LIMIT_FRAMES", data(y4m("900:1")), probed="", variables={"LIPSYNC_MAX_FRAMES": "5000"}),
    Case("asked.y4m", "LIMIT_FRAMES", data(y4m("25:1")), "", variables={"LIPSYNC_MAX_FRAMES": "99"}),
    Case(
        "many.y4m", "LIMIT_FRAMES", data(y4m("25:1", 60, (16, 16))), "", variables={"LIPSYNC_MAX_FRAMES": "50"}
    ),
)  # fmt: skip
_FIFTH = {"LIPSYNC_MAX_DURATION_S": "0.2"}  # the fuzzer's media last .4 s
LENGTHS = (
    Case(
        "second.flac", "LIMIT_DURATION", long_flac, "", is_sound=True, variables={"LIPSYNC_MAX_DURATION_S": "20"},
        label="a minute of FLAC that says it is a second",
    ),
    Case("short.mka", "LIMIT_DURATION", like("ffv1.mkv", short_matroska), "", is_sound=True, variables=_FIFTH),
    Case("long.mkv", "LIMIT_DURATION", long_matroska, "", variables={"LIPSYNC_MAX_DURATION_S": "9.5"},
         options=("--length", "video")),
    Case("short.mp3", "LIMIT_DURATION", like("sound.mp3", short_mp3), "", is_sound=True, variables=_FIFTH),
    Case("holes.mka", "LIMIT_DURATION", holes, "", is_sound=True),
    Case("plain.flac", "LIMIT_DURATION", like("sound.flac"), is_sound=True, variables=_FIFTH),
)  # fmt: skip
SOUNDS = (
    Case("alien.wav", _REFUSED, data(wav(_TONE, code=0xFFFF)), is_sound=True),
    Case("flat.wav", _REFUSED, data(wav(_TONE, bits=0)), is_sound=True),
    Case("deep.wav", _REFUSED, data(wav(_TONE, bits=65535, block=8)), is_sound=True),
    Case("none.wav", _REFUSED, data(wav(_TONE, channels=0, block=2)), is_sound=True),
    Case("double.wav", _REFUSED, data(wav(_TONE, bits=64)), is_sound=True),
    Case("hertz.wav", "LIMIT_SAMPLE_RATE", data(wav(_TONE[:8000], rate=1)), is_sound=True),
    Case("giga.wav", "LIMIT_SAMPLE_RATE", data(wav(_TONE, rate=2**31 - 1)), is_sound=True),
    Case("uneven.flac", "LIMIT_SAMPLE_RATE", data(uneven_flac()), "", is_sound=True),
    Case("wide.wav", "LIMIT_CHANNELS", data(wav(bytes(255 * 2 * 800), channels=255)), is_sound=True),
    Case("nan.wav", "NO_FACE", data(wav(struct.pack("<f", float("nan")) * 16000, code=3, bits=32)), "", is_sound=True),
    Case("huge.wav", "NO_FACE", data(wav(struct.pack("<d", 1e300) * 16000, code=3, bits=64)), "", is_sound=True),
    Case("alien.mov", "NO_FACE", data(with_alien_sound()), probed=""),
)
MACHINE = (
    Case("disk.y4m", "LIMIT_DISK", data(y4m("25:1")), "", variables={"LIPSYNC_MIN_FREE_BYTES": "9000000GiB"}),
    Case("time.y4m", "LIMIT_TIME", data(y4m("25:1")), "", variables={"LIPSYNC_MAX_JOB_S": "0.001"}),
    Case("cpu.y4m", "LIMIT_CPU", data(y4m("25:1")), "", variables={"LIPSYNC_MAX_JOB_CPU_S": "0.001"}),
    Case("memory.y4m", "LIMIT_MEMORY", data(y4m("25:1")), "", variables={"LIPSYNC_MAX_JOB_MEMORY_BYTES": "1"}),
)
SPECIAL = (
    Case("socket", "NOT_A_FILE", _socket),
    Case("pipe", "NOT_A_FILE", os.mkfifo),
    Case("folder.mp4", "NOT_A_FILE", Path.mkdir),
    Case("loop.mp4", "FILE_NOT_FOUND", lambda path: path.symlink_to(path)),
    Case("zero.mp4", "MEDIA_UNREADABLE", Path.touch),
)
CASES = (
    *PLAYLISTS,
    *NAMES,
    *RATES,
    *LENGTHS,
    *BOMBS,
    *INDEX_BOMBS,
    *PICTURE_BOMBS,
    *TAG_BOMBS,
    *SOUNDS,
    *MACHINE,
    *SPECIAL,
)
