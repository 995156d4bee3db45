"""Imports a model file of the user: checks that it is the claimed model, and stores it as ONNX."""

import importlib.util
import logging
import shutil
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Literal

import numpy as np

from lipsync_core.enhance.alignment import FACE_PX as ALIGNED_PX
from lipsync_core.enhance.gfpgan_onnx import FIRST_ROW as GFPGAN_FIRST_ROW
from lipsync_core.enhance.gfpgan_onnx import GfpganNetwork
from lipsync_core.errors import ModelCorruptError, ModelError, ModelMissingError
from lipsync_core.generators.wav2lip_mask import FACE_PX
from lipsync_core.generators.wav2lip_mask import FIRST_ROW as WAV2LIP_FIRST_ROW
from lipsync_core.generators.wav2lip_onnx import MEL_SHAPE, Wav2LipNetwork
from lipsync_core.models.content import sha256_of
from lipsync_core.models.registry import ModelEntry
from lipsync_core.models.stamp import seal
from lipsync_core.syncnet.network import CEPSTRA_SHAPE, FACES_SHAPE, SyncNetNetwork

FileKind = Literal["checkpoint", "onnx"]

_logger = logging.getLogger(__name__)
_HEAD_BYTES = 512
_ZIP, _PICKLE, _ONNX = b"PK\x03\x04", b"\x80", b"\x08"  # ONNX begins with field 1, a number: its version
_HALF_RANGE = 0.501  # a sigmoid around 0.5, and rounding
_EXTRA = ("torch", "onnxscript")


def import_wav2lip(source: Path, target: Path, first_row: int = WAV2LIP_FIRST_ROW) -> str:
    """Store the Wav2Lip of `source`, a PyTorch checkpoint or an ONNX file, at `target`, checked and sealed.

    The sha256 of `source` is returned. `target` appears whole or not at all, and replaces an older one. It draws the
    picture's rows from `first_row` on: by default those under the mask; 0 serves every use, and takes 30 % longer.

    Raises:
        ModelMissingError: there is no such file.
        ModelCorruptError: the file is an HTML page, truncated, damaged or hostile; nothing of it was run.
        ModelError: it is another model, or torch, which a checkpoint needs, is not installed, or `target` cannot be
            written.
    """
    recipe = _Recipe(partial(_export_wav2lip, first_row), partial(_check_wav2lip, first_row), _add_picture_ends)
    return _import(source, target, recipe)


def import_gfpgan(source: Path, target: Path) -> str:
    """Store the GFPGAN of `source` at `target`, in the same way.

    Raises:
        ModelMissingError, ModelCorruptError, ModelError: as `import_wav2lip`.
    """
    return _import(source, target, _Recipe(_export_gfpgan, _check_gfpgan))


def import_syncnet(source: Path, target: Path) -> str:
    """Store the SyncNet of `source` at `target`, in the same way.

    Raises:
        ModelMissingError, ModelCorruptError, ModelError: as `import_wav2lip`.
    """
    return _import(source, target, _Recipe(_export_syncnet, _check_syncnet))


def import_network(entry: ModelEntry, source: Path, target: Path, is_whole: bool = False) -> str:
    """Store the network of `source` at `target` in the way that the registry's `entry` names; the sha256 of `source`.

    With `is_whole`, a Wav2Lip keeps the rows that lie outside every blend mask.

    Raises:
        ModelError: as `import_wav2lip`, by the same kinds; or `entry` names no way.
    """
    match entry.imported_by:
        case "wav2lip":
            return import_wav2lip(source, target, 0 if is_whole else WAV2LIP_FIRST_ROW)
        case "gfpgan":
            return import_gfpgan(source, target)
        case "syncnet":
            return import_syncnet(source, target)
    raise ModelError(f"{entry.name} is used as it comes: there is nothing to import")


@dataclass(frozen=True, slots=True)
class _Recipe:
    """The steps of an import that differ from model to model."""

    export: Callable[[Path, Path], object]  # from a checkpoint to an ONNX file
    check: Callable[[Path], None]  # raises ModelError where an ONNX file is another model or does not run
    finish: Callable[[Path], None] = lambda _: None  # changes the checked file in place


def _import(source: Path, target: Path, recipe: _Recipe) -> str:
    kind = file_kind(source)
    if kind == "checkpoint":
        _require_torch(source)
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        # On the target's own file system, so that the last step is a rename; empty, so that an ONNX file which
        # refers to files beside it finds none.
        with tempfile.TemporaryDirectory(prefix=".import-", dir=target.parent) as folder:
            made = Path(folder) / target.name
            _convert(kind, source, made, recipe)
            source_sha256 = sha256_of(source)
            seal(made, source_sha256)
            made.replace(target)
        return source_sha256
    except OSError as exc:
        raise ModelError(f"{source} cannot be imported to {target}: {exc.strerror}", "choose another folder") from exc


def file_kind(path: Path) -> FileKind:
    """The kind of a model file, by its first bytes.

    Raises:
        ModelMissingError: there is no such file.
        ModelCorruptError: it looks like no model; an HTML page is named as such.
    """
    if not path.is_file():
        raise ModelMissingError(f"there is no model file {path}", "give the path of a .pth or .onnx file")
    try:
        with path.open("rb") as file:
            head = file.read(_HEAD_BYTES)
    except OSError as exc:
        raise ModelMissingError(f"model file {path} cannot be read: {exc.strerror}") from exc
    if head.startswith((_ZIP, _PICKLE)):
        return "checkpoint"
    if head.startswith(_ONNX):
        return "onnx"
    raise ModelCorruptError(f"{path} {_fault(head)}", "download the file again, from its publisher's file link")


def _fault(head: bytes) -> str:
    if not head:
        return "is empty"
    if head.lstrip(b"\xef\xbb\xbf \t\r\n").lower().startswith((b"<!doctype", b"<html", b"<head")):
        return "is an HTML page, not a model"
    return "is neither a PyTorch checkpoint nor an ONNX file"


def _require_torch(source: Path) -> None:
    absent = [name for name in _EXTRA if importlib.util.find_spec(name) is None]
    if absent:
        raise ModelError(
            f"{source} is a PyTorch checkpoint, and {' and '.join(absent)} is not installed",
            "run in the clone: pip install '.[torch]' (for the import only), or import an .onnx file",
        )


def _convert(kind: FileKind, source: Path, made: Path, recipe: _Recipe) -> None:
    if kind == "checkpoint":
        recipe.export(source, made)
    else:
        shutil.copyfile(source, made)
    try:
        recipe.check(made)
        recipe.finish(made)
    except ModelError as exc:
        # The user knows only the name of the source.
        raise type(exc)(exc.message.replace(str(made), str(source)), exc.remedy) from exc


# torch takes seconds to load and may be absent, so the export modules are imported only for a checkpoint.


def _export_wav2lip(first_row: int, checkpoint: Path, made: Path) -> None:
    from lipsync_core.export.wav2lip_export import export_wav2lip

    export_wav2lip(checkpoint, made, first_row)


def _export_gfpgan(checkpoint: Path, made: Path) -> None:
    from lipsync_core.export.gfpgan_export import export_gfpgan

    export_gfpgan(checkpoint, made, GFPGAN_FIRST_ROW)


def _export_syncnet(checkpoint: Path, made: Path) -> None:
    from lipsync_core.export.syncnet_export import export_syncnet

    export_syncnet(checkpoint, made)


def _check_wav2lip(first_row: int, path: Path) -> None:
    """Run two batches, so that a file that only claims the right shapes is refused now and not in a job."""
    network = Wav2LipNetwork(path, threads=1, first_row=first_row)
    rng = np.random.default_rng(0)
    for batch in (1, 3):
        mel = rng.uniform(-4.0, 4.0, (batch, *MEL_SHAPE[1:])).astype(np.float32)
        mouths = network.mouths(mel, rng.integers(0, 256, (batch, FACE_PX, FACE_PX, 3), np.uint8))
        if not (np.abs(mouths - 0.5) <= _HALF_RANGE).all():  # not a number fails as well
            raise ModelError(f"{path} is not Wav2Lip: its output leaves the range 0..1")


def _add_picture_ends(path: Path) -> None:
    """Have the file take and give bytes of pictures, where `onnx` is installed: jobs compute the same without.

    A checkpoint always finds it, as a part of the extra torch.
    """
    if importlib.util.find_spec("onnx") is None:
        _logger.info("%s stays as it is: the package onnx, which adds the work before and after it, is absent", path)
        return
    from lipsync_core.export.picture_ends import can_have_picture_ends, write_with_picture_ends

    if can_have_picture_ends(path):
        changed = path.with_suffix(".ends")
        write_with_picture_ends(path, changed)
        changed.replace(path)


def _check_gfpgan(path: Path) -> None:
    """Run it once."""
    grey = np.zeros((1, 3, ALIGNED_PX, ALIGNED_PX), np.float32)
    if not np.isfinite(GfpganNetwork(path, threads=1).forward(grey)).all():
        raise ModelError(f"{path} is not GFPGAN: its output is not finite")


def _check_syncnet(path: Path) -> None:
    """Run two batches."""
    network = SyncNetNetwork(path, threads=1)
    for batch in (1, 2):
        silence, grey = np.zeros((batch, *CEPSTRA_SHAPE), np.float32), np.zeros((batch, *FACES_SHAPE), np.float32)
        if not np.isfinite(network.embed(silence, grey)).all():
            raise ModelError(f"{path} is not SyncNet: its output is not finite")
