"""Small pictures that unfold to much: by themselves, as packets of a video, and as covers of music."""

from __future__ import annotations

import struct
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

from tests.hostile.bombs import bomb
from tests.hostile.boxes import box, full, numbers, png
from tests.hostile.case import Case, data, like

_TEXT = (b"zTXt", b"k\0\0" + bomb())
_PROFILE = (b"iCCP", b"k\0\0" + bomb())
_TEXT_BOMB, _PROFILE_BOMB = png(_TEXT), png(_PROFILE)


def film(codec: str, *pictures: bytes) -> Callable[[Path], object]:
    """Makes a video of these packets, in the container of the file's name."""

    def make(path: Path) -> None:
        import av

        if path.suffix == ".mkv":
            path.write_bytes(matroska(b"MPNG", *pictures))
            return
        with av.open(str(path), "w") as container:
            stream = container.add_stream(codec, rate=25)
            stream.width = stream.height = 64
            stream.pix_fmt = "rgb24"
            for number, picture in enumerate(pictures):
                packet = av.Packet(picture)
                packet.stream, packet.time_base = stream, Fraction(1, 25)
                packet.pts = packet.dts = number
                packet.is_keyframe = True
                container.mux(packet)

    return make


def element(name: bytes, *content: bytes) -> bytes:
    """An element of Matroska, with a size of eight bytes."""
    joined = b"".join(content)
    return name + (1 << 56 | len(joined)).to_bytes(8) + joined


def matroska(fourcc: bytes, *pictures: bytes) -> bytes:
    """A Matroska file of these pictures, one each 40 ms, as Video for Windows has them."""
    head = element(b"\x1a\x45\xdf\xa3", element(b"\x42\x82", b"matroska"))
    bitmap = struct.pack("<IiiHH4sIiiII", 40, 64, 64, 1, 24, fourcc, 0, 0, 0, 0, 0)
    size = element(b"\xe0", element(b"\xb0", b"\x40"), element(b"\xba", b"\x40"))
    codec = element(b"\x86", b"V_MS/VFW/FOURCC") + element(b"\x63\xa2", bitmap)
    track = element(b"\xae", element(b"\xd7", b"\1"), element(b"\x73\xc5", b"\1"), element(b"\x83", b"\1"), codec, size)
    blocks = [
        element(b"\xa3", b"\x81" + struct.pack(">HB", 40 * number, 0x80) + picture)
        for number, picture in enumerate(pictures)
    ]
    info, tracks = element(b"\x15\x49\xa9\x66"), element(b"\x16\x54\xae\x6b", track)
    cluster = element(b"\x1f\x43\xb6\x75", element(b"\xe7", b"\0"), *blocks)
    return head + element(b"\x18\x53\x80\x67", info, tracks, cluster)


def apng(*more: tuple[bytes, bytes]) -> bytes:
    """An APNG of two frames, with chunks between them."""
    control = [struct.pack(">IIIIIHHBB", number, 64, 64, 0, 0, 1, 25, 0, 0) for number in (0, 1)]
    plain = png((b"acTL", numbers(2, 0)), (b"fcTL", control[0]))
    pixels = plain[plain.index(b"IDAT") + 4 : plain.index(b"IEND") - 8]
    second = png((b"fcTL", control[1]), *more, (b"fdAT", numbers(2) + pixels))
    return (
        plain[: plain.index(b"IEND") - 4] + second[second.index(b"fcTL") - 4 : second.index(b"IDAT") - 4] + plain[-12:]
    )


def with_id3_cover(content: bytes) -> bytes:
    frame = b"\0image/png\0\3\0" + _TEXT_BOMB
    body = b"APIC" + struct.pack(">IH", len(frame), 0) + frame
    return b"ID3\3\0\0" + bytes(len(body) >> shift & 0x7F for shift in (21, 14, 7, 0)) + body + content


def with_flac_cover(content: bytes) -> bytes:
    kind = b"image/png"
    body = numbers(3, len(kind)) + kind + numbers(0, 64, 64, 24, 0, len(_TEXT_BOMB)) + _TEXT_BOMB
    return content[:42] + b"\6" + len(body).to_bytes(3) + body + content[42:]  # behind STREAMINFO


def with_mp4_cover(content: bytes) -> bytes:
    """The cover in the last box of a file, "moov"."""
    cover = box(b"covr", box(b"data", numbers(14, 0), _TEXT_BOMB))
    tags = box(b"udta", full(b"meta", full(b"hdlr", bytes(4), b"mdirappl", bytes(9)), box(b"ilst", cover)))
    at = content.rindex(b"moov") - 4
    return content[:at] + (len(content) - at + len(tags)).to_bytes(4) + content[at + 4 :] + tags


def with_matroska_cover(content: bytes) -> bytes:
    """The cover before all else in the file's only segment."""
    kind, name = element(b"\x46\x60", b"image/png"), element(b"\x46\x6e", b"cover.png")
    number, file = element(b"\x46\xae", b"\1"), element(b"\x46\x5c", _TEXT_BOMB)
    cover = element(b"\x19\x41\xa4\x69", element(b"\x61\xa7", name, kind, number, file))
    at = content.index(b"\x18\x53\x80\x67")
    return content[:at] + element(b"\x18\x53\x80\x67", cover, content[at + 12 :])


def codestream(
    width: int, height: int, *, block: int = 64, precinct: int | None = None, layers: int = 1,
    tile: tuple[int, int] | None = None,
) -> bytes:  # fmt: skip
    """A JPEG 2000 of three components and six levels; the sides of blocks, and the exponents of those of precincts."""

    def marker(number: int, content: bytes) -> bytes:
        return struct.pack(">HH", number, 2 + len(content)) + content

    tile_width, tile_height = tile or (width, height)
    size = struct.pack(">H8IH", 0, width, height, 0, 0, tile_width, tile_height, 0, 0, 3) + b"\7\1\1" * 3
    side = block.bit_length() - 3
    style = struct.pack(">BBHBBBBBB", precinct is not None, 0, layers, 0, 5, side, side, 0, 1)
    style += b"" if precinct is None else bytes([precinct << 4 | precinct]) * 6
    parts = [marker(0xFF51, size), marker(0xFF52, style), marker(0xFF5C, b"\x40" + b"\x40" * 16)]
    for number in range(-(-width // tile_width) * -(-height // tile_height)):
        parts.append(marker(0xFF90, struct.pack(">HIBB", number, 34, 0, 1)) + b"\xff\x93" + bytes(20))
    return b"\xff\x4f" + b"".join(parts) + b"\xff\xd9"


def jp2(codes: bytes) -> bytes:
    """A JP2 file."""
    head = box(b"ihdr", numbers(64, 64), b"\0\3\7\7\0\0") + box(b"colr", b"\1\0\0", numbers(16))
    kind = box(b"ftyp", b"jp2 ", bytes(4), b"jp2 ")
    return box(b"jP  ", b"\r\n\x87\n") + kind + box(b"jp2h", head) + box(b"jp2c", codes)


_BLOCKS = codestream(7900, 7900, block=4)
PICTURE_BOMBS = (
    *(
        Case(name, "LIMIT_METADATA", film("png", png(), picture), probed="")
        for name, picture in (("texts.mkv", _TEXT_BOMB), ("texts.mov", _TEXT_BOMB), ("texts.avi", _PROFILE_BOMB))
    ),
    Case("first.mkv", "LIMIT_METADATA", film("png", _TEXT_BOMB, png())),
    Case("first.mov", "LIMIT_METADATA", film("png", _PROFILE_BOMB, png())),
    Case("first.avi", "LIMIT_METADATA", film("png", _TEXT_BOMB, png())),
    Case("wide.mkv", "LIMIT_PIXELS", film("png", png(size=(16000, 16000)))),
    Case("frames.apng", "LIMIT_METADATA", data(apng(_TEXT))),
    Case("two.png", "LIMIT_METADATA", data(png(size=(0, 0)) + _TEXT_BOMB)),
    Case("cover.mp3", "NO_FACE", like("sound.mp3", with_id3_cover), probed="", is_sound=True),
    Case("cover.flac", "NO_FACE", like("sound.flac", with_flac_cover), probed="", is_sound=True),
    Case("cover.m4a", "NO_FACE", like("sound.m4a", with_mp4_cover), probed="", is_sound=True),
    Case("cover.mkv", "NO_FACE", like("ffv1.mkv", with_matroska_cover), probed="", is_sound=True),
    Case("blocks.j2k", "LIMIT_INDEX", data(_BLOCKS)),
    Case("blocks.jp2", "LIMIT_INDEX", data(jp2(_BLOCKS))),
    Case("blocks.mov", "LIMIT_INDEX", film("jpeg2000", _BLOCKS)),
    Case("blocks.avi", "LIMIT_INDEX", film("jpeg2000", _BLOCKS)),
    Case("precincts.j2k", "LIMIT_INDEX", data(codestream(2000, 2000, precinct=1))),
    Case("layers.j2k", "LIMIT_INDEX", data(codestream(512, 512, precinct=2, layers=65535))),
    Case("tiles.j2k", "LIMIT_INDEX", data(codestream(1000, 1000, tile=(4, 4)))),
    Case("large.j2k", "LIMIT_PIXELS", data(codestream(16000, 16000))),
)  # fmt: skip
