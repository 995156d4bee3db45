"""The rules for C2PA's library, and the types of media that it reads."""

from pathlib import Path
from typing import Any

import c2pa

from lipsync_core.provenance.algorithms import Sign

_HEAD_BYTES = 16
#: A file is hashed in blocks (a Merkle tree's leaves). Without them the library holds up to 512 MB of it; each costs
#: the file 290 bytes.
_USUAL_BLOCKS, _LEAST_BLOCK_BYTES, _MOST_BLOCK_BYTES = 16, 1 << 20, 32 << 20
#: By the first bytes of a file; "?" stands for any byte.
_TYPES: tuple[tuple[bytes, str], ...] = (
    (b"????ftypqt  ", "video/quicktime"),
    (b"????ftyphei", "image/heic"),
    (b"????ftyphev", "image/heic"),
    (b"????ftypmif1", "image/heif"),
    (b"????ftypavi", "image/avif"),
    (b"????ftypM4A", "audio/mp4"),
    (b"????ftyp", "video/mp4"),
    (b"????moov", "video/quicktime"),
    (b"????mdat", "video/quicktime"),
    (b"????wide", "video/quicktime"),
    (b"RIFF????AVI ", "video/avi"),
    (b"RIFF????WAVE", "audio/wav"),
    (b"RIFF????WEBP", "image/webp"),
    (b"ID3", "audio/mpeg"),
    (b"fLaC", "audio/flac"),
    (b"\xff\xd8\xff", "image/jpeg"),
    (b"\x89PNG\r\n\x1a\n", "image/png"),
    (b"GIF8", "image/gif"),
    (b"II*\0", "image/tiff"),
    (b"MM\0*", "image/tiff"),
)


def context(trusted_pem: str = "", movie_bytes: int = 0) -> c2pa.Context:
    """Rules: no address that a file names is asked, and only signers issued by those in `trusted_pem` are trusted.

    `movie_bytes` is the size of the file that is to be signed.
    """
    block_bytes = min(_MOST_BLOCK_BYTES, max(_LEAST_BLOCK_BYTES, movie_bytes // _USUAL_BLOCKS))
    rules: dict[str, Any] = {
        "verify": {"remote_manifest_fetch": False, "ocsp_fetch": False},
        "builder": {"thumbnail": {"enabled": False}},
        "core": {"merkle_tree_chunk_size_in_kb": block_bytes >> 10, "backing_store_memory_threshold_in_mb": 16},
    }
    if trusted_pem:
        rules["trust"] = {"user_anchors": trusted_pem}
    return c2pa.Context.from_dict(rules)


def signer(sign: Sign, algorithm: str, chain_pem: str, timestamp_url: str | None) -> c2pa.Signer:
    """What signs for the library; `algorithm` as `algorithm_of` names it. Raises C2paError."""
    return c2pa.Signer.from_callback(sign, c2pa.C2paSigningAlg[algorithm.upper()], chain_pem, timestamp_url)


def media_type(path: Path) -> str | None:
    """The type of a file by its first bytes; None where the library reads no such files. Raises OSError."""
    with path.open("rb") as file:
        head = file.read(_HEAD_BYTES)
    return next((name for beginning, name in _TYPES if _begins(head, beginning)), None)


def _begins(head: bytes, beginning: bytes) -> bool:
    return len(head) >= len(beginning) and all(
        wanted in (b"?"[0], byte) for byte, wanted in zip(head, beginning, strict=False)
    )
