"""`lipsync models`: the weights that this product can use, and which of them are here."""

import json
from pathlib import Path
from typing import TYPE_CHECKING

import click

from lipsync_cli.failures import write_stdout
from lipsync_cli.values import home_option, workspace_at

if TYPE_CHECKING:
    from lipsync_core.models import ModelEntry, ModelStatus, ModelStore

SCHEMA = "lipsync.models/1"
_MB = 1_000_000


@click.group()
def models() -> None:
    """List, install and verify models."""


@models.command("list")
@click.option("--json", "as_json", is_flag=True, help="Write one JSON object.")
@home_option
def list_models(as_json: bool, home: Path | None) -> None:
    """Say which models there are, what they may be used for, and whether they are installed."""
    from lipsync_core.models import registered_models

    folder, store = _store(home)
    found = [(entry, store.status(entry.name)) for entry in registered_models()]
    if as_json:
        fields = {"schema": SCHEMA, "folder": str(folder), "models": [_fields(*pair) for pair in found]}
        write_stdout(json.dumps(fields, indent=2))
    else:
        write_stdout("\n".join([*(_text(*pair) for pair in found), f"folder: {folder}"]))


@models.command()
@click.argument("name")
@click.option("--quiet", "-q", is_flag=True, help="Say nothing where nothing has to be fetched.")
@home_option
def pull(name: str, quiet: bool, home: Path | None) -> None:
    """Install the model NAME, or replace it where its files are damaged."""
    from lipsync_core.models import find_model

    folder, store = _store(home)
    entry = find_model(name)
    if store.status(name) == "installed":
        if not quiet:
            write_stdout(f"{name} is installed in {folder}")
        return
    click.echo(f"{name}: fetching {entry.source}", err=True)
    store.pull(name)
    write_stdout(f"{name} is now installed in {folder} ({entry.size_bytes / _MB:.1f} MB, {entry.licence})")


@models.command()
@click.argument("name", required=False)
@home_option
def verify(name: str | None, home: Path | None) -> None:
    """Check the files of the model NAME, or of every installed one, against their registered sha256."""
    from lipsync_core.models import registered_models

    _, store = _store(home)
    if name is not None:
        store.verify(name)
        write_stdout(f"{name}: every file has its registered sha256")
        return
    for entry in registered_models():
        if store.status(entry.name) == "missing":
            write_stdout(f"{entry.name}: not installed")
        else:
            store.verify(entry.name)
            write_stdout(f"{entry.name}: every file has its registered sha256")


def _store(home: Path | None) -> "tuple[Path, ModelStore]":
    from lipsync_core.models import ModelStore

    folder = workspace_at(home).models
    return folder, ModelStore(folder)


def _text(entry: "ModelEntry", status: "ModelStatus") -> str:
    use = "commercial use allowed" if entry.commercial_use else "no commercial use"
    lines = [
        f"{entry.name}  [{status}]",
        f"    {entry.purpose}",
        f"    {entry.licence}, {use}; {entry.size_bytes / _MB:.1f} MB from {entry.source}",
    ]
    if status != "installed":
        lines.append(f"    to install: lipsync models pull {entry.name}")
    return "\n".join(lines)


def _fields(entry: "ModelEntry", status: "ModelStatus") -> dict[str, str | int | bool]:
    return {
        "name": entry.name,
        "status": status,
        "purpose": entry.purpose,
        "licence": entry.licence,
        "commercial_use": entry.commercial_use,
        "size_bytes": entry.size_bytes,
        "source": str(entry.source),
    }
