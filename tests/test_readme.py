"""The product does what the README promises."""

import re
import shlex
import shutil
import tomllib
from itertools import chain
from pathlib import Path

import pytest

from demo.make_face_clip import make_face_clip
from lipsync_cli.commands.run import run
from lipsync_cli.exit_statuses import exit_table, exit_table_markdown
from lipsync_core.models import registered_models
from lipsync_core.preflight.codes import WarningCode

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")


def section(heading: str) -> str:
    """The text under a heading, up to the next one."""
    found = re.search(rf"^#+ {re.escape(heading)}\n(.*?)(?=^#+ |\Z)", README, re.MULTILINE | re.DOTALL)
    assert found is not None, f"the README has no section {heading!r}"
    return found[1]


def test_the_python_example_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    example = re.search(r"```python\n(.*?)```", section("From Python"), re.DOTALL)
    assert example is not None
    lines = [line for line in example[1].splitlines() if line.strip()]
    assert len(lines) <= 5
    make_face_clip(tmp_path / "face.mp4", frames=10, size=(320, 180))
    shutil.copy(ROOT / "demo" / "speech.wav", tmp_path / "speech.wav")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    exec(compile(example[1], "README.md", "exec"), {})
    assert re.fullmatch(r"\d+ of \d+ frames synced in [\d.]+ s\n", capsys.readouterr().out)
    assert (tmp_path / "out.mp4").stat().st_size > 0


def test_the_exit_table_is_the_one_that_the_command_prints() -> None:
    table = "".join(re.findall(r"^\|.*\n", section("When something is wrong"), re.MULTILINE))
    assert table == f"{exit_table_markdown()}\n", "write it anew with: python -m lipsync_cli.exit_statuses"


def test_the_documentation_names_only_codes_that_exist() -> None:
    documents = [README, *(path.read_text(encoding="utf-8") for path in (ROOT / "docs").glob("*.md"))]
    named = set(chain(*(re.findall(r"`([A-Z]+(?:_[A-Z0-9]+)+)(?:: [^`]*)?`", text) for text in documents)))
    codes = {*chain(*(each.codes for each in exit_table())), *WarningCode}
    variables = {name for name in named if name.startswith(("CUDA_", "LIPSYNC_", "PREFECT_", "WORKER_"))}
    assert "NO_FACE" in named
    assert named - variables <= codes


def test_the_options_table_lists_every_option() -> None:
    documented = set(re.findall(r"(?<!\w)--?[a-z][a-z-]*", section("Use")))
    offered = {name for parameter in run.params for name in parameter.opts if name.startswith("-")}
    assert offered - documented == set()


def test_the_commands_that_are_shown_parse() -> None:
    shown = re.findall(r"^    lipsync run (.*)$", section("Use"), re.MULTILINE)
    assert shown
    for arguments in shown:
        run.make_context("run", shlex.split(arguments))


def test_the_dependency_table_lists_every_package() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    table = section("What it is built on")
    for requirement in (*project["dependencies"], *project["optional-dependencies"]["demo"]):
        name = re.match(r"[\w.-]+", requirement)
        assert name is not None
        assert re.search(rf"^\| {re.escape(name[0])}\b", table, re.MULTILINE), f"{name[0]} has no reason"


def test_the_model_table_lists_every_model_with_its_licence() -> None:
    rows = dict(re.findall(r"^\| `([\w-]+)` \| [^|]* \| ([^|]*) \|", section("Models"), re.MULTILINE))
    for entry in registered_models():
        assert rows[entry.name] == entry.licence


def test_the_constraints_pin_every_direct_dependency() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    pinned = {
        line.split("==")[0].lower()
        for line in (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
        if "==" in line
    }
    extras = project["optional-dependencies"]
    wanted = {
        re.split(r"[^\w.-]", requirement)[0].lower()
        for requirement in (*project["dependencies"], *chain(*(extras[name] for name in extras if name != "gpu")))
    }
    assert wanted - {project["name"]} <= pinned


def test_every_local_link_leads_somewhere() -> None:
    for target in re.findall(r"\]\(([^)#:]+)\)", README):
        assert (ROOT / target).is_file(), f"{target} is missing"
