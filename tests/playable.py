"""Checks whether a movie is one that the players of Apple, Android and browsers show.

What is asked, and where it is said: H.264 up to High, 8 bits, 4:2:0, level 5.2, in `avc1`, and AAC-LC in `mp4a` (Apple,
"HTTP Live Streaming authoring specification for Apple devices", 1.2 to 1.7 and 2.1; Android, "Supported media formats",
whose devices have to decode Baseline, Main and High, and AAC-LC of 8 to 48 kHz up to 5.1); HEVC Main or Main 10 in
`hvc1` (Apple, the same, 1.5); the index in front of the data ("fast start", Apple's QuickTime file format); an edit
list that skips the codec's priming alone (the same, "Edit atoms").
"""

import struct
from collections.abc import Iterator
from pathlib import Path

import av

_CONTAINERS = {b"moov", b"trak", b"edts", b"mdia", b"minf", b"stbl"}
_MAX_LEVEL = {"h264": 52, "hevc": 156}
_AAC_PRIMING = 3072  # samples: no encoder of AAC-LC writes more


def faults(path: Path) -> list[str]:
    """Why some player may not show `path`; empty where all do."""
    return [*_stream_faults(path), *_file_faults(path)]


def _stream_faults(path: Path) -> Iterator[str]:
    with av.open(str(path)) as container:
        video, sound = container.streams.video[0].codec_context, container.streams.audio
        known = {
            ("h264", "High"),
            ("h264", "Main"),
            ("h264", "Constrained Baseline"),
            ("hevc", "Main"),
            ("hevc", "Main 10"),
        }
        if (video.name, video.profile) not in known:
            yield f"video is {video.name} {video.profile}"
        deep = "yuv420p10le" if video.profile == "Main 10" else "yuv420p"
        picture = next(container.decode(video=0))
        if picture.format.name != deep:
            yield f"pixels are {picture.format.name}"
        if int(picture.color_range) == 2:
            yield "the range is full"
        if int(video.level) > _MAX_LEVEL.get(video.name, 0):
            yield f"the level is {video.level}"
        if video.codec_tag != ("hvc1" if video.name == "hevc" else "avc1"):
            yield f"the sample entry is {video.codec_tag}"
        if not sound:
            yield "there is no sound"
        for stream in sound:
            codec = stream.codec_context
            if (codec.name, codec.profile, codec.codec_tag) != ("aac", "LC", "mp4a"):
                yield f"sound is {codec.name} {codec.profile} in {codec.codec_tag}"
            if not 8000 <= codec.sample_rate <= 48000 or codec.layout.nb_channels > 6:
                yield f"sound has {codec.sample_rate} Hz and {codec.layout.nb_channels} channels"


def _file_faults(path: Path) -> Iterator[str]:
    data = path.read_bytes()
    boxes = list(_boxes(data, 0, len(data), ""))
    order = [name for name, *_ in boxes if name in ("/moov", "/mdat")]
    if order[:1] != ["/moov"]:
        yield "the index follows the data"
    track = 0
    skipped = 0  # by the track's edit, in its own units
    for name, start, end in boxes:
        if name == "/moov/trak":
            track += 1
        if name == "/moov/trak/edts/elst":
            edits = list(_edits(data[start:end]))
            if len(edits) != 1:
                yield f"track {track} has {len(edits)} edits"
            elif edits[0] < 0:
                yield f"track {track} begins with an empty edit"
            else:
                skipped = edits[0]
        if name == "/moov/trak/mdia/hdlr" and skipped:
            kind = data[start + 8 : start + 12]
            if kind == b"soun" and skipped > _AAC_PRIMING:
                yield f"track {track} skips {skipped} samples"
            skipped = 0  # by the track's edit, in its own units


def _boxes(data: bytes, start: int, end: int, parent: str) -> Iterator[tuple[str, int, int]]:
    """Name, start and end of the content of each box (ISO/IEC 14496-12, 4.2), those inside others too."""
    while start + 8 <= end:
        size, kind = struct.unpack_from(">I4s", data, start)
        header = 8
        if size == 1:
            (size,), header = struct.unpack_from(">Q", data, start + 8), 16
        size = size or end - start
        name = f"{parent}/{kind.decode('latin-1')}"
        yield name, start + header, start + size
        if kind in _CONTAINERS:
            yield from _boxes(data, start + header, start + size, name)
        start += size


def _edits(content: bytes) -> Iterator[int]:
    """The media time of each edit; -1 for an empty one."""
    version, count = content[0], struct.unpack_from(">I", content, 4)[0]
    layout = struct.Struct(">QqI" if version else ">IiI")
    for number in range(count):
        yield layout.unpack_from(content, 8 + number * layout.size)[1]
