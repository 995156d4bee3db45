"""The refusals that several kinds of files share."""

from lipsync_core.limit_errors import IndexLimitError, MetadataLimitError, PixelLimitError
from lipsync_core.limits import Limits


def require_pixels(width: int, height: int, limits: Limits) -> None:
    """Raise PixelLimitError where a picture of this size has too many pixels."""
    if width * height > limits.max_pixels:
        raise PixelLimitError(f"it has {width}x{height} pixels, more than {limits.max_pixels}", "scale it down")


def require_metadata(unfolded: int, limits: Limits) -> None:
    """Raise MetadataLimitError where `unfolded` bytes of headers are too many."""
    if unfolded > limits.max_metadata_bytes:
        raise MetadataLimitError(
            f"its compressed headers unfold to more than {limits.max_metadata_bytes} bytes", "save the file anew"
        )


def require_entries(entries: int, limits: Limits) -> None:
    """Raise IndexLimitError where the parts of a file, counted as entries of an index, are too many."""
    if entries > limits.max_index_entries:
        raise IndexLimitError(f"its index unfolds to more than {limits.max_index_entries} entries", "write it anew")
