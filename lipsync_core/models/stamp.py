"""A seal at the end of an imported ONNX file, which records its source and shows that it is unchanged.

The seal is two entries of the file's own metadata (field 14 of ONNX's ModelProto, entries of key and value), written
after the rest. Protocol buffers allow a repeated field anywhere, so every reader of ONNX accepts them, and the file
needs no parsing to be sealed or checked. The bytes that an exporter writes depend on its version, so the sha256 of an
imported file cannot be registered; the file itself holds it.
"""

from pathlib import Path

from lipsync_core.errors import ModelCorruptError, ModelMissingError
from lipsync_core.models.content import sha256_of, sha256_of_model

SOURCE_KEY, CONTENT_KEY = "source_sha256", "content_sha256"
_HEX_DIGITS = 64
_METADATA_TAG, _KEY_TAG, _VALUE_TAG = 0x72, 0x0A, 0x12  # fields 14, 1 and 2, each with its length in front


def seal(path: Path, source_sha256: str) -> None:
    """Append the seal to the ONNX file at `path`: the sha256 of its source file, and of its own bytes."""
    content_sha256 = sha256_of(path)
    with path.open("ab") as file:
        file.write(_seal(source_sha256, content_sha256))


def check_seal(path: Path) -> str:
    """The sha256 of the file from which the ONNX file at `path` was imported.

    Raises:
        ModelMissingError: there is no file.
        ModelCorruptError: the file has no seal, or was changed after it was sealed.
    """
    length = len(_seal("0" * _HEX_DIGITS, "0" * _HEX_DIGITS))
    try:
        size_bytes = path.stat().st_size
        content_sha256 = sha256_of_model(path, size_bytes - length)
        with path.open("rb") as file:
            file.seek(max(0, size_bytes - length))
            tail = file.read()
    except FileNotFoundError as exc:
        raise ModelMissingError(f"model file {path} is not installed") from exc
    except OSError as exc:
        raise ModelCorruptError(f"model file {path} cannot be read: {exc.strerror}") from exc
    start = len(_entry(SOURCE_KEY, ""))
    source_sha256 = tail[start : start + _HEX_DIGITS].decode("ascii", errors="replace")
    if tail != _seal(source_sha256, content_sha256):
        raise ModelCorruptError(f"model file {path} is not what was imported", "import the model again")
    return source_sha256


def _seal(source_sha256: str, content_sha256: str) -> bytes:
    return _entry(SOURCE_KEY, source_sha256) + _entry(CONTENT_KEY, content_sha256)


def _entry(key: str, value: str) -> bytes:
    """One entry of the metadata; its parts are shorter than 128 bytes, so that each length is one byte."""
    key_bytes, value_bytes = key.encode(), value.encode()
    body = bytes([_KEY_TAG, len(key_bytes)]) + key_bytes + bytes([_VALUE_TAG, len(value_bytes)]) + value_bytes
    return bytes([_METADATA_TAG, len(body)]) + body
