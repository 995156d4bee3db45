import json
from pathlib import Path

import pytest

from lipsync_cli.main import main

NAME = "mediapipe-face"


def test_the_list_says_what_is_missing_and_how_to_get_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["models", "list", "--home", str(tmp_path)]) == 0
    text = capsys.readouterr().out
    assert f"{NAME}  [missing]" in text
    assert f"lipsync models pull {NAME}" in text
    assert f"folder: {tmp_path / 'models'}" in text
    assert not (tmp_path / "models").exists()


def test_the_list_as_json(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["models", "list", "--json", "--home", str(tmp_path)]) == 0
    fields = json.loads(capsys.readouterr().out)
    assert fields["schema"] == "lipsync.models/1"
    entry = next(each for each in fields["models"] if each["name"] == NAME)
    assert entry["status"] == "missing"
    assert entry["licence"] == "Apache-2.0"
    assert entry["commercial_use"] is True


def test_the_folder_comes_from_the_environment_where_no_option_names_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("LIPSYNC_HOME", str(tmp_path / "home"))
    assert main(["models", "list"]) == 0
    assert f"folder: {tmp_path / 'home' / 'models'}" in capsys.readouterr().out


@pytest.mark.parametrize("command", ["pull", "verify"])
def test_a_command_fails_when_no_model_has_that_name(
    command: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["models", command, "mediapipe-fact", "--home", str(tmp_path)]) == 6
    line = capsys.readouterr().err
    assert line.startswith("lipsync: error MODEL_INVALID: ")
    assert NAME in line
    assert line.count("\n") == 1


def test_verify_fails_when_the_model_is_missing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["models", "verify", NAME, "--home", str(tmp_path)]) == 6
    line = capsys.readouterr().err
    assert line.startswith("lipsync: error MODEL_MISSING: ")
    assert f"lipsync models pull {NAME}" in line
    assert main(["models", "verify", "--home", str(tmp_path)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert f"{NAME}: not installed" in lines
    assert all(line.endswith(": not installed") for line in lines)


def test_verify_fails_when_a_file_was_changed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from lipsync_core.models import registered_models

    folder = tmp_path / "models" / NAME
    folder.mkdir(parents=True)
    (entry,) = (entry for entry in registered_models() if entry.name == NAME)
    for member in entry.members:
        (folder / member.file_name).write_bytes(bytes(member.size_bytes))
    for arguments in (["models", "verify", NAME], ["models", "verify"]):
        assert main([*arguments, "--home", str(tmp_path)]) == 6
        assert capsys.readouterr().err.startswith("lipsync: error MODEL_CORRUPT: ")
    assert main(["models", "list", "--home", str(tmp_path)]) == 0
    assert f"{NAME}  [corrupt]" in capsys.readouterr().out
