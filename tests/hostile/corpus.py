"""Hostile files, each a few lines that make it, with the code that the product ends with."""

from __future__ import annotations

import os
import socket
import struct
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from tests.hostile.boxes import box, full, id3, movie, numbers, png, raw_sound, raw_video, table, trak, wav, y4m

BAIT = "bait.mp4"  # a pipe: whoever opens it to read waits until the guard ends it
_MIB = 1 << 20
_TONE = struct.pack("<h", 3000) * 8000
_MILLION = 1_000_000


@dataclass(frozen=True, slots=True)
class Case:
    """One file that is given as the video or the sound of a job."""

    name: str  # of the file, and of the test
    code: str  # of `lipsync run`
    make: Callable[[Path], object]
    probed: str | None = None  # the code of `lipsync probe` where it is another; "" for none
    is_sound: bool = False
    variables: Mapping[str, str] = field(default_factory=dict)
    options: tuple[str, ...] = ()
    label: str = ""

    def __str__(self) -> str:
        return self.label or self.name


def data(content: bytes | str) -> Callable[[Path], object]:
    """Makes a file with this content."""
    as_bytes = content.encode() if isinstance(content, str) else content
    return lambda path: path.write_bytes(as_bytes)


def like(seed: str, change: Callable[[bytes], bytes] = lambda content: content) -> Callable[[Path], object]:
    """Makes a file like one of the fuzzer's, changed."""
    return lambda path: path.write_bytes(change((path.parent.parent / "seeds" / seed).read_bytes()))


def bomb(size: int = 200_000_000) -> bytes:
    return zlib.compress(b"a" * size)


def large_jpeg(content: bytes) -> bytes:
    """The header of a small JPEG with 16000 x 16000 in its frame."""
    at = content.index(b"\xff\xc0")
    return content[: at + 5] + struct.pack(">HH", 16000, 16000) + content[at + 9 :]


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


def short_mp3(content: bytes) -> bytes:
    """An MP3 whose first frame says that there are two more."""
    at = next(content.index(name) for name in (b"Xing", b"Info") if name in content)
    return content[: at + 8] + numbers(2) + content[at + 12 :]


def large(content: bytes, width: int, height: int, form: str) -> bytes:
    """The content with each pair of 64 and 48, written as `form`, made `width` and `height`."""
    return content.replace(struct.pack(form, 64, 48), struct.pack(form, width, height))


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


def uneven_flac() -> bytes:
    """A FLAC of 48 kHz with one block of 4096 samples at 1 Hz: more than an hour, 197 million samples at 48 kHz.

    Each frame (RFC 9639, 9) has a block size and a rate of 16 bits behind its header, and one constant subframe.
    """
    frames = []
    for number in range(25):
        rate = 1 if number == 12 else 48000
        head = b"\xff\xf8\x7d\x08" + struct.pack(">BHH", number, 4095, rate)
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


def raw_movie(count: int, delta: int, timescale: int = 1000, *, tracks: int = 1, more: bytes = b"") -> bytes:
    """A MOV of `count` raw pictures of 4x4, each `delta` units long."""
    one = trak(table(raw_video(), count, 48, delta), timescale=timescale, duration=count * delta)
    head = movie(*([one] * tracks), more=more, brand=b"qt  ")
    # The only chunk begins where the content of "mdat" does: the offset is written once the head's size is known.
    head = head.replace(full(b"stco", numbers(1, 40)), full(b"stco", numbers(1, len(head) + 8)))
    return head + box(b"mdat", b"\x80" * 48 * min(count, 2000))


def with_alien_sound() -> bytes:
    """A movie with a second track, of sound in a format that nobody knows."""
    entry = bytes(6) + b"\0\1" + bytes(8) + struct.pack(">HHHHI", 1, 16, 0, 0, 48000 << 16)
    sound = full(b"stsd", numbers(1), box(b"zzzz", entry))
    return raw_movie(3, 40, more=trak(table(sound, 1, 4), number=2, kind=b"soun"))


def edited(samples: int, edits: int) -> bytes:
    """A movie of which each of its `edits` shows all samples."""
    edit_list = box(b"edts", full(b"elst", numbers(edits), numbers(1000, 0, 0x10000) * edits))
    track = trak(table(raw_video(), samples, 1))
    return movie(box(b"trak", track[8:], edit_list))


def fragment(count: int) -> bytes:
    """A movie fragment of `count` samples without a byte for each."""
    run = full(b"trun", numbers(count))
    return movie(trak(table(raw_video(), 0, 0)), more=box(b"mvex", full(b"trex", numbers(1, 1, 40, 0, 0)))) + box(
        b"moof", full(b"mfhd", numbers(1)), box(b"traf", box(b"tfhd", numbers(0x18, 1, 40, 0)), run)
    )


def squeezed(size: int) -> bytes:
    """A MOV whose header is compressed, and says that it unfolds to `size` bytes."""
    inner = box(b"dcom", b"zlib") + box(b"cmvd", numbers(size), zlib.compress(bytes(1000)))
    return box(b"ftyp", b"qt  ", bytes(4)) + box(b"moov", box(b"cmov", inner)) + box(b"mdat", bytes(8))


def elsewhere(path: Path) -> object:
    """A MOV whose samples lie in another file, by an absolute path, as QuickTime's reference movies have it."""
    target = str(path.parent / BAIT).encode()
    alias = box(b"alis", numbers(0), bytes(150) + struct.pack(">hH", 2, len(target)) + target + b"\xff\xff\0\0")
    samples = table(raw_video(), 3, 48)
    return path.write_bytes(movie(trak(samples, reference=alias), brand=b"qt  ") + box(b"mdat", bytes(8)))


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
    Case("plain.flac", "LIMIT_DURATION", like("sound.flac"), is_sound=True, variables=_FIFTH),
)  # fmt: skip
BOMBS = (
    Case("samples.mp4", "LIMIT_INDEX", data(movie(trak(table(raw_video(), 50 * _MILLION, 1))))),
    Case("runs.mov", "LIMIT_INDEX", data(
        movie(trak(table(raw_sound(), 0x7FFFFFFF, 2, delta=1, in_chunk=0xFFFFFFF0), kind=b"soun"))), is_sound=True),
    Case("fragment.mp4", "LIMIT_INDEX", data(fragment(50 * _MILLION))),
    Case("boxes.mp4", "LIMIT_INDEX", data(box(b"ftyp", b"isom", bytes(4)) + box(b"free") * 300_000),
         variables={"LIPSYNC_MAX_INDEX_ENTRIES": "1000000"}),
    Case("edits.mp4", "LIMIT_INDEX", data(edited(20_000, 20_000))),
    Case("squeezed.mov", "LIMIT_METADATA", data(squeezed(0x7FFFFFFF))),
    Case("text.png", "LIMIT_METADATA", data(png((b"zTXt", b"k\0\0" + bomb())))),
    Case("profile.png", "LIMIT_METADATA", data(png((b"iCCP", b"k\0\0" + bomb())))),
    Case("words.png", "LIMIT_METADATA", data(png((b"iTXt", b"k\0\1\0\0\0" + bomb())))),
    Case("large.png", "LIMIT_PIXELS", data(png(size=(16000, 16000)))),
    Case("large.jpg", "LIMIT_PIXELS", like("still.jpg", large_jpeg)),
    Case("large.gif", "LIMIT_PIXELS", like("loop.gif", lambda content: large(content, 60000, 60000, "<HH"))),
    Case("large.bmp", "LIMIT_PIXELS", like("still.bmp", lambda content: large(content, 60000, 60000, "<ii"))),
    Case("large.mov", "LIMIT_PIXELS", like("prores.mov", lambda content: large(content, 60000, 60000, ">HH"))),
    Case("tag.mp3", "LIMIT_METADATA", lambda path: path.write_bytes(
        id3([(b"TIT2", 100 * _MIB, bomb(100 * _MIB))]) + (path.parent.parent / "seeds/sound.mp3").read_bytes()),
        is_sound=True),
    Case("tracks.mov", "LIMIT_STREAMS", data(raw_movie(3, 40, tracks=1000))),
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
    Case("time.y4m", "LIMIT_TIME", data(y4m("25:1")), "", variables={"LIPSYNC_MAX_JOB_S": "0.000001"}),
    Case("cpu.y4m", "LIMIT_CPU", data(y4m("25:1")), "", variables={"LIPSYNC_MAX_JOB_CPU_S": "0.000001"}),
    Case("memory.y4m", "LIMIT_MEMORY", data(y4m("25:1")), "", variables={"LIPSYNC_MAX_JOB_MEMORY_BYTES": "1"}),
)
SPECIAL = (
    Case("socket", "NOT_A_FILE", _socket),
    Case("pipe", "NOT_A_FILE", os.mkfifo),
    Case("folder.mp4", "NOT_A_FILE", Path.mkdir),
    Case("loop.mp4", "FILE_NOT_FOUND", lambda path: path.symlink_to(path)),
    Case("zero.mp4", "MEDIA_UNREADABLE", Path.touch),
)
CASES = (*PLAYLISTS, *NAMES, *RATES, *LENGTHS, *BOMBS, *SOUNDS, *MACHINE, *SPECIAL)
