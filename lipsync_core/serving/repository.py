"""Writes the folder of a Triton server: the installed models that it may serve, their settings, and a health probe."""

import shutil
import tempfile
from pathlib import Path

from lipsync_core.errors import ModelError, ModelMissingError, OptionError
from lipsync_core.generators.wav2lip_onnx import Wav2LipNetwork
from lipsync_core.media.output import output_errors
from lipsync_core.models.registry import NETWORK, ModelEntry
from lipsync_core.models.store import InstalledModel, ModelStore
from lipsync_core.onnx_session import OnnxModel
from lipsync_core.serving.config import Device, canary_body, config_text, precision_on
from lipsync_core.serving.identity import SERVABLE, SERVED_VERSION, ServedIdentity

#: The probe, and the file beside each model that it sends. Triton's image has a shell and curl, and no Python package
#: of its client. Status 503 is a full queue, which a dead model does not have.
PROBE, CANARY = "check.sh", "canary.json"
_PROBE_TEXT = f"""\
#!/bin/sh
# Sends one inference on zeros to each model of this folder: sh check.sh [http://HOST:PORT]. The exit status is 0 where
# each answers, or has a full queue. /v2/health/ready proves less: it stays 200 while the backend of a model is dead.
server=${{1:-http://127.0.0.1:8000}}
folder=$(dirname "$0")
for body in "$folder"/*/{CANARY}; do
    model=$(basename "$(dirname "$body")")
    status=$(curl --silent --max-time 20 --output /dev/null --write-out '%{{http_code}}' \\
        --header 'Content-Type: application/json' --data-binary "@$body" "$server/v2/models/$model/infer")
    case $status in
        200 | 503) models="$models $model" ;;
        *)
            echo "$model does not answer at $server: status $status"
            exit 1
            ;;
    esac
done
echo "each model answers at $server:$models"
"""


def export_repository(
    store: ModelStore, folder: Path, device: Device = "cpu", is_replacing: bool = False
) -> tuple[str, ...]:
    """Write `folder` for a server that runs the networks on `device`; the names of the models in it.

    It holds every installed model of `SERVABLE`: MODEL/config.pbtxt, MODEL/1/model.onnx, and MODEL/canary.json for the
    probe check.sh. The folder appears whole or not at all. `is_replacing` has it take the place of an older one, which
    no server may be reading.

    Raises:
        OptionError: there is something at `folder` already, what is to be replaced is no model repository, or the extra
            is not installed.
        ModelMissingError: no such model is installed.
        ModelCorruptError: a file is not what was installed.
        LicenceError: a licence awaits its acceptance.
        ModelError: a network cannot be served.
        OutputError: `folder` cannot be written.
    """
    with output_errors(folder):  # a name may be too long, and a folder above it closed
        _require_free(folder, is_replacing)
    names = [name for name in SERVABLE if store.status(name) not in ("missing", "downloaded")]
    if not names:
        needed = ", ".join(SERVABLE)
        raise ModelMissingError(f"none of {needed} is installed", "run: lipsync models pull NAME")
    with output_errors(folder):
        folder.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".export-", dir=folder.parent) as scratch:
            made = Path(scratch) / folder.name
            for name in names:
                _write_model(store.entry(name), store.open_usable(name), made / name, device)
            (made / PROBE).write_text(_PROBE_TEXT, encoding="utf-8")
            made.chmod(0o755)  # the server runs as another user
            if folder.exists():
                folder.rename(Path(scratch) / "replaced")
            made.rename(folder)
    return tuple(names)


def _require_free(folder: Path, is_replacing: bool) -> None:
    if not folder.exists():
        return
    if not is_replacing:
        raise OptionError(f"{folder} exists already", "name a new folder, or replace this one with --replace")
    strange = not folder.is_dir() or any(
        path.name != PROBE and not (path / "config.pbtxt").is_file() for path in folder.iterdir()
    )
    if strange:
        raise OptionError(f"{folder} holds other things than a model repository", "choose another folder, or remove it")


def _write_model(entry: ModelEntry, installed: InstalledModel, folder: Path, device: Device) -> None:
    source = installed.path(NETWORK if entry.imported_by else entry.members[0].name)
    (folder / "1").mkdir(parents=True)
    file = folder / "1" / "model.onnx"
    if entry.imported_by == "wav2lip":
        _write_wav2lip(source, file)
    else:
        shutil.copyfile(source, file)
    network = OnnxModel(file, threads=1)
    sha256 = installed.source_sha256 or entry.sums[0]
    identity = ServedIdentity(entry.name, SERVED_VERSION, entry.licence, sha256, device, precision_on(device))
    text = config_text(identity, network.inputs, network.outputs, device)
    (folder / "config.pbtxt").write_text(text, encoding="utf-8")
    (folder / CANARY).write_text(canary_body(network.inputs, network.outputs), encoding="utf-8")


def _write_wav2lip(source: Path, file: Path) -> None:
    """The installed file itself, or the same with bytes of pictures at its ends where it was imported without."""
    network = Wav2LipNetwork(source, threads=1)
    if network.fixed_batch:
        raise ModelError(f"{source} takes {network.fixed_batch} frames at a time", "import one that takes any number")
    if network.has_picture_ends:
        shutil.copyfile(source, file)
        return
    from lipsync_core.export.picture_ends import write_with_picture_ends  # brings the package onnx

    write_with_picture_ends(source, file)
