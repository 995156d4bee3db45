"""`lipsync models`: lists, installs, imports and verifies models, and records accepted licences."""

import json
from pathlib import Path
from typing import TYPE_CHECKING

import click

from lipsync_cli.environment import home_option
from lipsync_cli.failures import write_stdout
from lipsync_cli.progress.transfer import shown_transfer
from lipsync_cli.signals import Interrupted
from lipsync_cli.values import workspace_at
from lipsync_cli.wording import in_mb
from lipsync_core.errors import ModelMissingError

if TYPE_CHECKING:
    from lipsync_core.models import InstalledModel, ModelEntry, ModelStore
    from lipsync_core.serving.config import Device

SCHEMA = "lipsync.models/1"

accept_option = click.option(
    "--accept-licence", is_flag=True, help="Accept a licence that forbids commercial use; remembered."
)


@click.group()
def models() -> None:
    """List, install, import and verify models."""


@models.command("list")
@click.option("--json", "as_json", is_flag=True, help="Write one JSON object.")
@home_option
def list_models(as_json: bool, home: Path | None) -> None:
    """Say which models there are, what they may be used for, and whether they are installed."""
    folder, store = _store(home)
    if as_json:
        listed = [_fields(store, entry) for entry in store.entries]
        write_stdout(json.dumps({"schema": SCHEMA, "folder": str(folder), "models": listed}, indent=2))
    else:
        write_stdout("\n".join([*(_text(store, entry) for entry in store.entries), f"folder: {folder}"]))


@models.command()
@click.argument("name")
@accept_option
@click.option("--quiet", "-q", is_flag=True, help="Say nothing where nothing has to be fetched.")
@home_option
def pull(name: str, accept_licence: bool, quiet: bool, home: Path | None) -> None:
    """Download and install the model NAME, or replace it where its files are damaged.

    A download that was stopped goes on where it stopped.
    """
    from lipsync_core.install import ModelInstaller

    folder, store = _store(home)
    entry = store.entry(name)
    was_installed = store.status(name) == "installed"
    _say_accepted(store, entry, accept_licence)
    try:
        with shown_transfer(name) as progress:
            ModelInstaller(store).pull(name, accept_licence, progress)
    except Interrupted as stop:
        raise Interrupted(stop.signum, _remains(store, entry)) from stop
    if not was_installed:
        write_stdout(f"{name} is now installed in {folder} ({entry.licence})")
    elif not quiet:
        write_stdout(f"{name} is installed in {folder}")


@models.command("import")
@click.argument("path", type=click.Path(path_type=Path))
@click.option("--as", "name", required=True, metavar="NAME", help="The model that the file holds.")
@click.option("--whole", "is_whole", is_flag=True, help="Keep all of a Wav2Lip network, for run --compat upstream.")
@accept_option
@home_option
def import_model(path: Path, name: str, is_whole: bool, accept_licence: bool, home: Path | None) -> None:
    """Install a model from the file PATH that you have: a .pth or .onnx file, or a .zip of it."""
    from lipsync_core.install import ModelInstaller

    folder, store = _store(home)
    entry = store.entry(name)
    _say_accepted(store, entry, accept_licence)
    try:
        with shown_transfer(name) as progress:
            ModelInstaller(store).import_file(name, path, accept_licence, progress, is_whole)
    except Interrupted as stop:
        raise Interrupted(stop.signum, "nothing was imported") from stop
    write_stdout(f"{name} is now installed in {folder}, from {path} ({entry.licence})")


@models.command("export-repository")
@click.argument("folder", type=click.Path(path_type=Path), metavar="DIR")
@click.option(
    "--device",
    type=click.Choice(("cpu", "cuda", "tensorrt")),
    default="cpu",
    show_default=True,
    help="What the server runs the networks on; tensorrt in fp16.",
)
@click.option("--replace", "is_replacing", is_flag=True, help="Put it in the place of the folder that is there.")
@home_option
def export_repository(folder: Path, device: "Device", is_replacing: bool, home: Path | None) -> None:
    """Write the folder DIR for an NVIDIA Triton server: every installed network, and its settings."""
    from lipsync_core.serving.repository import export_repository

    _, store = _store(home)
    names = export_repository(store, folder, device, is_replacing)
    write_stdout(f"{folder} is ready for a model server on {device}: {', '.join(names)}")


@models.command()
@click.argument("name", required=False)
@home_option
def verify(name: str | None, home: Path | None) -> None:
    """Check the files of the model NAME, or of every installed one, byte by byte."""
    _, store = _store(home)
    if name is not None:
        write_stdout(_verified(store.entry(name), store.verify(name)))
        return
    for entry in store.entries:
        try:
            write_stdout(_verified(entry, store.verify(entry.name)))
        except ModelMissingError:
            write_stdout(f"{entry.name}: {_absence(store, entry)}")


def _store(home: Path | None) -> "tuple[Path, ModelStore]":
    from lipsync_core.models import ModelStore

    folder = workspace_at(home).models
    return folder, ModelStore(folder)


def _say_accepted(store: "ModelStore", entry: "ModelEntry", accept_licence: bool) -> None:
    """Show the licence that the user accepts now, unless it was accepted before."""
    if accept_licence and not store.licences.is_usable(entry):
        terms = f"{entry.licence} ({entry.licence_url})"
        click.echo(f"{entry.name}: you accept its licence, which forbids commercial use: {terms}", err=True)


def _remains(store: "ModelStore", entry: "ModelEntry") -> str:
    kept_bytes = store.partial_bytes(entry.name)
    if kept_bytes:
        return f"{in_mb(kept_bytes)} MB of the download are kept; the same command goes on from there"
    if store.status(entry.name) == "downloaded":
        return "the download is kept; the same command goes on with the import"
    return "nothing was installed"


def _absence(store: "ModelStore", entry: "ModelEntry") -> str:
    if store.is_downloaded(entry):
        return f"downloaded, not imported yet; run: lipsync models pull {entry.name}"
    return "not installed"


def _verified(entry: "ModelEntry", installed: "InstalledModel") -> str:
    sha256 = installed.source_sha256
    if sha256 is None:
        return f"{entry.name}: every file has its registered sha256"
    origin = "the registered checkpoint" if sha256 in entry.sums else f"a file of your own, sha256 {sha256[:12]}…"
    return f"{entry.name}: every byte is as imported from {origin}"


def _text(store: "ModelStore", entry: "ModelEntry") -> str:
    status = store.status(entry.name)
    use = "commercial use allowed" if entry.commercial_use else f"no commercial use; {_acceptance(store, entry)}"
    lines = [
        f"{entry.name}  [{status}]",
        f"    {entry.purpose}",
        f"    {entry.licence}; {use}",
        f"    {in_mb(entry.size_bytes)} MB from {entry.source}",
    ]
    is_usable = store.licences.is_usable(entry)
    if status != "installed" or not is_usable:
        command = f"lipsync models pull {entry.name}" + ("" if is_usable else " --accept-licence")
        lines.append(f"    {'to accept it' if status == 'installed' else 'to install'}: {command}")
    return "\n".join(lines)


def _acceptance(store: "ModelStore", entry: "ModelEntry") -> str:
    found = store.licences.acceptance(entry)
    return f"accepted on {found.date.isoformat()}" if found else f"not accepted, see {entry.licence_url}"


def _fields(store: "ModelStore", entry: "ModelEntry") -> dict[str, str | int | bool | None]:
    found, status = store.licences.acceptance(entry), store.status(entry.name)
    return {
        "name": entry.name,
        "status": status,
        "purpose": entry.purpose,
        "licence": entry.licence,
        "licence_url": entry.licence_url,
        "licence_accepted_on": found.date.isoformat() if found else None,
        "commercial_use": entry.commercial_use,
        "is_usable": store.licences.is_usable(entry) and status == "installed",
        "is_optional": entry.is_optional,
        "size_bytes": entry.size_bytes,
        "partial_bytes": store.partial_bytes(entry.name),
        "source": str(entry.source),
    }
