"""Sound whose file orders its channels in a way of its own, such as QuickTime's L R Ls Rs C LFE.

PyAV 18.1 shares the list of such channels between all who look at a layout, and each frees it: the second look ends the
program. So nobody looks: FFmpeg's own description of the file names the channels, and the decoder is told their number
alone.
"""

import re
from collections.abc import Sequence

import av
from av.container import InputContainer

from lipsync_core.media.ffmpeg_log import log_of

#: FFmpeg's order of named channels (libavutil/channel_layout.h), as far as it can mix them.
_ORDER = (
    *("FL", "FR", "FC", "LFE", "BL", "BR", "FLC", "FRC", "BC", "SL", "SR", "TC", "TFL", "TFC", "TFR", "TBL", "TBC"),
    *("TBR", "WL", "WR", "TSL", "TSR"),
)
#: A line of av_dump_format; those of metadata begin with more blanks.
_OWN_ORDER = re.compile(r"^  Stream #0:(\d+)\b.*: Audio: .*, \d+ channels \(([^()]+)\)", re.M)


def own_orders(container: InputContainer) -> dict[int, tuple[str, ...]]:
    """The channels of each stream, by its index, whose order is the file's own; FFmpeg's names, such as "FR"."""
    with log_of(av.logging.INFO):
        description = container.dumps_format()  # type: ignore[attr-defined]  # PyAV's stubs lack it
    return {int(index): tuple(names.split("+")) for index, names in _OWN_ORDER.findall(description)}


def forget_own_orders(container: InputContainer) -> None:
    """Let the decoders of a file that has just been opened give channels without names where the order is its own."""
    if not container.streams.audio:
        return
    orders = own_orders(container)
    for stream in container.streams.audio:
        if stream.index in orders and stream.codec_context is not None:
            stream.codec_context.layout = f"{len(orders[stream.index])} channels"


def native_order(names: Sequence[str]) -> tuple[list[int], str] | None:
    """The places of the channels `names` in FFmpeg's order, and the layout that they make; None if it has none."""
    if len(set(names)) != len(names) or not set(names) <= set(_ORDER):
        return None
    places = sorted(range(len(names)), key=lambda place: _ORDER.index(names[place]))
    return places, "+".join(names[place] for place in places)
