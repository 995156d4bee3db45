"""Looks at a file's own account of itself before FFmpeg believes it: a few bytes may claim to unfold to gigabytes.

FFmpeg builds the whole index of an MP4 in memory and inflates the texts and profiles of a PNG or an ID3 tag without a
limit. So their sizes are added up here first, from their headers alone.
"""

from typing import BinaryIO

from lipsync_core.limits import Limits
from lipsync_core.structure.index import Index
from lipsync_core.structure.pictures import JPEG, check_jpeg, stated_size
from lipsync_core.structure.png import PNG, check_png
from lipsync_core.structure.refusals import require_pixels
from lipsync_core.structure.tags import FLAC, ID3, check_flac, check_id3


def check_structure(file: BinaryIO, size_bytes: int, limits: Limits) -> None:
    """Refuse a file, of `size_bytes` bytes, whose index or headers unfold beyond `limits`.

    Raises:
        IndexLimitError: its index has more entries.
        MetadataLimitError: its compressed headers, texts and profiles have more bytes.
        PixelLimitError: it is a picture with more pixels.
        OSError: it cannot be read.
    """
    file.seek(0)
    head = file.read(32).ljust(32, b"\0")
    require_pixels(*stated_size(head), limits)
    if head.startswith(PNG):
        check_png(file, size_bytes, limits)
    elif head.startswith(JPEG):
        check_jpeg(file, limits)
    elif head.startswith(ID3):
        check_id3(file, limits)
    elif head.startswith(FLAC):
        check_flac(file, size_bytes)
    # A file with any of these beginnings may be a movie as well; others have few bytes that look like boxes.
    Index(limits).add_file(file, size_bytes)
