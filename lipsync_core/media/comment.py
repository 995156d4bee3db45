"""The comment in a media file's metadata."""

from pathlib import Path

from lipsync_core.apart import read_apart
from lipsync_core.media.opening import open_media

_MOST_CHARS = 1000


@read_apart
def comment_of(path: Path) -> str | None:
    """The comment; None where there is none.

    Raises:
        InputError: as `media.probe.probe`.
    """
    with open_media(path) as container:
        comment = container.metadata.get("comment")
        return comment[:_MOST_CHARS] if comment else None
