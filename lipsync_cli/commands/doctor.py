"""`lipsync doctor`: checks whether a job can run here, and gives a command for each fault."""

import importlib
import importlib.metadata
import json
import os
import platform
import re
import shlex
import shutil
import sys
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any, get_args

import click

from lipsync_cli.check import Check
from lipsync_cli.commands.file_check import check_file
from lipsync_cli.environment import home_option, model_server_option, service_option
from lipsync_cli.exit_statuses import SUCCESS
from lipsync_cli.failures import write_stdout
from lipsync_cli.limit_checks import limit_checks, worker_checks
from lipsync_cli.values import LocalFile, workspace_at
from lipsync_core.errors import LipSyncError, ModelMismatchError
from lipsync_core.packages import is_installed
from lipsync_core.workspace import Workspace

SCHEMA = "lipsync.doctor/1"
_MODULES = {
    "ai-edge-litert": "ai_edge_litert.interpreter",
    "c2pa-python": "c2pa",
    "pillow": "PIL.Image",
    "pillow-heif": "pillow_heif",
    "opencv-python-headless": "cv2",
}  # the modules whose names differ from their packages'
_ONNX_RUNTIMES = ("onnxruntime", "onnxruntime-gpu")  # builds of one module; if both are installed, the last is kept
_LEAST_FREE_BYTES = 500_000_000  # twice the size of a ten-minute 1080p result
_SERVER_LIMIT_S = 5.0
_GB = 1_000_000_000
_NAME = re.compile(r"[A-Za-z0-9._-]+")


@click.command()
@click.argument("file", type=LocalFile(), required=False)
@click.option("--json", "as_json", is_flag=True, help="Write one JSON object.")
@model_server_option
@service_option
@home_option
@click.pass_context
def doctor(
    ctx: click.Context,
    file: Path | None,
    as_json: bool,
    model_server: str | None,
    service_file: Path | None,
    home: Path | None,
) -> None:
    """Say what is installed, what is missing and how to mend it; with FILE, also whether FILE is read here.

    The exit status is 0 only if a job can run, and FILE is read.
    """
    checks = (*_checks(workspace_at(home), home, model_server), *worker_checks(service_file))
    can_run = all(check.is_ok for check in checks)
    looked = check_file(file) if file is not None else None
    if as_json:
        fields: dict[str, Any] = {"schema": SCHEMA, "can_run": can_run, "checks": [asdict(check) for check in checks]}
        write_stdout(json.dumps(fields | ({"file": asdict(looked)} if looked else {}), indent=2))
    else:
        verdict = "A job can run." if can_run else "A job cannot run yet: mend the faults marked MISSING."
        write_stdout("\n".join([*map(_text, checks), verdict, *(looked.lines() if looked else ())]))
    ctx.exit(SUCCESS if can_run and (looked is None or looked.is_read) else LipSyncError.exit_status)


def _text(check: Check) -> str:
    line = f"{'ok' if check.is_ok else 'MISSING':<8} {check.name:<30} {check.detail}"
    return line if check.is_ok else f"{line}\n{'':8} run: {check.remedy}"


def _checks(workspace: Workspace, home: Path | None, model_server: str | None) -> Iterator[Check]:
    yield Check("python", True, f"{platform.python_version()} ({sys.executable})")
    yield from _package_checks()
    encoders = [_encoder_check("x264", "libx264"), _encoder_check("x265", "libx265")]
    yield from encoders
    if all(check.is_ok for check in encoders):
        yield _auto_encoder_check()
        yield _reader_check()
    runtime = _onnx_runtime_check()
    yield runtime
    if runtime.is_ok and any(map(is_installed, _ONNX_RUNTIMES)):
        yield _provider_check()
    if model_server is not None:
        yield _server_check(workspace, model_server)
    yield from _model_checks(workspace, home)
    for name, folder in (("models folder", workspace.models), ("cache folder", workspace.cache)):
        yield _folder_check(name, folder)
    yield _room_check(workspace.cache)
    yield Check("processors", True, str(os.cpu_count()))
    yield from limit_checks()
    if is_installed("pydantic-settings"):
        yield from _keeping_checks()


def _package_checks() -> Iterator[Check]:
    for requirement in importlib.metadata.requires("lipsync") or ():
        found = _NAME.match(requirement)
        if found is None or "extra ==" in requirement:
            continue
        yield _package_check(found[0], requirement)


def _package_check(package: str, requirement: str) -> Check:
    name = f"package {package}"
    try:
        importlib.import_module(_MODULES.get(package, package))
        return Check(name, True, importlib.metadata.version(package))
    except importlib.metadata.PackageNotFoundError:
        detail = "not installed"
    except ImportError as exc:  # the module or a system library is missing
        detail = f"cannot be imported: {exc}"
    return Check(name, False, detail, _pip_install(requirement))


def _reader_check() -> Check:
    """What keeps a file that takes FFmpeg over from doing more than it may."""
    from lipsync_core.isolation.confinement import KINDS
    from lipsync_core.isolation.offer import offered
    from lipsync_core.isolation.room import is_possible, reading_room

    if not is_possible():
        return Check("readers", True, "files are read in the job's own process: only Linux confines others")
    with reading_room("probes"):
        present = offered()
    lacking = [kind for kind in KINDS if kind not in present]
    detail = f"confined by {', '.join(present)}" + (f"; not by {', '.join(lacking)}" if lacking else "")
    return Check("readers", True, detail)


def _encoder_check(encoder: str, library: str) -> Check:
    name = f"encoder {encoder}"
    try:
        import av

        av.codec.Codec(library, "w")
    except ImportError:
        return Check(name, False, "PyAV is missing", _pip_install("av>=18,<19"))
    except ValueError:  # PyAV's UnknownCodecError
        remedy = _pip_install("av>=18,<19", "--force-reinstall", "--only-binary=av")
        return Check(name, False, f"this build of PyAV has no {library}", remedy)
    return Check(name, True, f"in PyAV {av.__version__}")


def _auto_encoder_check() -> Check:
    """The encoder that --encoder auto takes on this machine for the most usual pictures, and the reason."""
    from lipsync_core.encoder_choice import choose_encoder
    from lipsync_core.media.probe import ColourTags
    from lipsync_core.media.working import WorkingPicture
    from lipsync_core.options import JobOptions

    choice = choose_encoder(JobOptions(), WorkingPicture(1280, 720, "yuv420p", ColourTags(1, 1, 1, 1)))
    return Check("encoder auto", True, f"{choice.chosen}: {choice.reason}")


def _onnx_runtime_check() -> Check:
    name = "package onnxruntime"
    installed = [package for package in _ONNX_RUNTIMES if is_installed(package)]
    if not installed:
        return Check(name, True, "not installed, and needed by wav2lip, scrfd, gfpgan and syncnet only")
    uninstall = shlex.join(["pip", "uninstall", "-y", *installed])
    remedy = f"{sys.executable} -m {uninstall} && {_pip_install(installed[-1])}"
    if len(installed) > 1:
        return Check(name, False, f"{' and '.join(installed)} overwrite each other's files", remedy)
    try:
        import onnxruntime

        providers = [each.removesuffix("ExecutionProvider") for each in onnxruntime.get_available_providers()]
    except (ImportError, AttributeError) as exc:  # the uninstall of another build removed files
        return Check(name, False, f"{installed[0]} cannot be imported: {exc}", remedy)
    return Check(name, True, f"{importlib.metadata.version(installed[0])}: {', '.join(providers)}")


def _provider_check() -> Check:
    """The provider that --providers auto takes on this machine, and the reason."""
    from lipsync_core.execution import Execution
    from lipsync_core.providers import choose_provider

    try:
        choice = choose_provider(Execution())
    except LipSyncError as exc:
        return Check("providers auto", False, exc.message, _pip_install("onnxruntime", "--force-reinstall"))
    return Check("providers auto", True, f"{choice.chosen}: {choice.reason}")


def _server_check(workspace: Workspace, address: str) -> Check:
    """A canary through each model of the server, whichever its precision is."""
    from lipsync_core.execution import Execution, Precision
    from lipsync_core.model_source import check_server
    from lipsync_core.models import ModelStore
    from lipsync_core.serving.patience import Patience

    patience = Patience(deadline_s=_SERVER_LIMIT_S, down_s=_SERVER_LIMIT_S, full_s=_SERVER_LIMIT_S)
    faults: list[LipSyncError] = []
    for precision in get_args(Precision):
        try:
            execution = Execution(precision=precision, model_server=address)
            names = check_server(ModelStore(workspace.models), execution, patience)
        except ModelMismatchError as exc:
            faults.append(exc)
        except LipSyncError as exc:
            return Check("model server", False, exc.message, exc.remedy)
        else:
            return Check("model server", True, f"{' and '.join(names)} answer at {address}, in {precision}")
    return Check("model server", False, faults[0].message, faults[0].remedy)


def _model_checks(workspace: Workspace, home: Path | None) -> Iterator[Check]:
    from lipsync_core.models import ModelStore, registered_models

    store = ModelStore(workspace.models)
    at_home = "" if home is None else f" --home {shlex.quote(str(home))}"
    for entry in registered_models():
        status = store.status(entry.name)
        if status == "missing" and entry.is_optional:
            yield Check(f"model {entry.name}", True, "not installed, and not needed")
            continue
        remedy = f"lipsync models pull {entry.name}{at_home}"
        yield Check(f"model {entry.name}", status == "installed", status, remedy if status != "installed" else "")


def _folder_check(name: str, folder: Path) -> Check:
    existing = _existing_ancestor(folder)
    if existing.is_dir() and os.access(existing, os.W_OK | os.X_OK):
        return Check(name, True, str(folder))
    quoted = shlex.quote(str(folder))
    remedy = f'sudo install -d -o "$(id -un)" {quoted}'
    return Check(name, False, f"{existing} is not a folder that this user may write to", remedy)


def _room_check(folder: Path) -> Check:
    free_bytes = shutil.disk_usage(_existing_ancestor(folder)).free
    detail = f"{free_bytes / _GB:.1f} GB free"
    if free_bytes >= _LEAST_FREE_BYTES:
        return Check("disk", True, detail)
    return Check("disk", False, detail, f"du -sh {shlex.quote(str(folder))}  # and remove files that are not needed")


def _keeping_checks() -> Iterator[Check]:
    """For how long the service of these settings keeps what grows; `lipsync gc` removes the rest."""
    from lipsync_cli.extra import service_settings

    try:
        settings = service_settings("lipsync doctor")
    except LipSyncError as exc:
        yield Check("kept", True, f"not known: {exc.message}")  # `lipsync run` uses none of these settings
        return
    for kind, words in settings.described():
        yield Check(f"kept {kind}", True, words)


def _existing_ancestor(folder: Path) -> Path:
    absolute = folder.absolute()
    return next(each for each in (absolute, *absolute.parents) if each.exists())


def _pip_install(requirement: str, *options: str) -> str:
    return shlex.join([sys.executable, "-m", "pip", "install", *options, requirement])
