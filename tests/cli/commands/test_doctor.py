import importlib.metadata
import json
from pathlib import Path

import pytest

from lipsync_cli.main import main

MODEL, OTHER = "model mediapipe-face", "model speech-encoder"


def checks_of(text: str) -> dict[str, dict[str, str | bool]]:
    return {check["name"]: check for check in json.loads(text)["checks"]}


def test_doctor_names_what_is_here_and_what_mends_the_rest(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    home = tmp_path / "my home"
    assert main(["doctor", "--json", "--home", str(home)]) == 1
    text = capsys.readouterr().out
    assert json.loads(text)["schema"] == "lipsync.doctor/1"
    assert json.loads(text)["can_run"] is False
    checks = checks_of(text)
    assert checks["package av"]["detail"] == importlib.metadata.version("av")
    assert checks["encoder x264"]["is_ok"] is True
    assert [name for name, check in checks.items() if not check["is_ok"]] == [MODEL, OTHER]
    assert checks[MODEL]["remedy"] == f"lipsync models pull mediapipe-face --home '{home}'"
    assert not home.exists()


def test_doctor_as_text_marks_what_is_missing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["doctor", "--home", str(tmp_path)]) == 1
    lines = capsys.readouterr().out.splitlines()
    missing = next(number for number, line in enumerate(lines) if line.startswith("MISSING"))
    assert MODEL in lines[missing]
    assert lines[missing + 1].strip().startswith("run: lipsync models pull mediapipe-face")
    assert lines[-1].startswith("A job cannot run yet")


def test_doctor_finds_a_package_that_is_not_installed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(importlib.metadata, "requires", lambda name: ["lipsync-no-such>=2", "ruff; extra == 'dev'"])
    assert main(["doctor", "--json", "--home", str(tmp_path)]) == 1
    checks = checks_of(capsys.readouterr().out)
    package = checks["package lipsync-no-such"]
    assert package["is_ok"] is False
    assert str(package["remedy"]).endswith("-m pip install 'lipsync-no-such>=2'")
    assert "package ruff" not in checks


def test_doctor_finds_a_folder_that_cannot_be_written(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    # A file in the folder's place stops even the superuser; permissions would not.
    blocked = tmp_path / "file"
    blocked.write_text("")
    assert main(["doctor", "--json", "--home", str(blocked / "home")]) == 1
    checks = checks_of(capsys.readouterr().out)
    assert checks["models folder"]["is_ok"] is False
    assert checks["cache folder"]["is_ok"] is False


def test_doctor_does_not_ask_for_models_that_a_job_can_do_without(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["doctor", "--json", "--home", str(tmp_path)]) == 1
    checks = checks_of(capsys.readouterr().out)
    for name in ("wav2lip", "wav2lip-gan", "scrfd", "gfpgan", "syncnet"):
        assert checks[f"model {name}"]["is_ok"] is True
        assert checks[f"model {name}"]["detail"] == "not installed, and not needed"


def test_doctor_finds_a_damaged_model_even_if_a_job_can_do_without_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "models" / "scrfd").mkdir(parents=True)
    (tmp_path / "models" / "scrfd" / "det_10g.onnx").write_bytes(b"half")
    assert main(["doctor", "--json", "--home", str(tmp_path)]) == 1
    assert checks_of(capsys.readouterr().out)["model scrfd"]["is_ok"] is False


def install(package: str, site: Path) -> None:
    """Write the metadata by which pip knows `package`."""
    folder = site / f"{package.replace('-', '_')}-1.0.dist-info"
    folder.mkdir(parents=True)
    (folder / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {package}\nVersion: 1.0\n")


def test_doctor_names_what_networks_can_run_on(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    main(["doctor", "--json", "--home", str(tmp_path)])
    check = checks_of(capsys.readouterr().out)["package onnxruntime"]
    assert check["is_ok"] is True
    assert "CPU" in str(check["detail"])


def test_doctor_says_what_auto_takes_here_and_why(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    main(["doctor", "--json", "--home", str(tmp_path)])
    check = checks_of(capsys.readouterr().out)["providers auto"]
    assert check["is_ok"] is True
    assert str(check["detail"]).split(":")[0] in ("cuda", "cpu")
    assert "it ran a trial network correctly" in str(check["detail"])


def test_doctor_finds_two_builds_of_onnx_runtime_in_one_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for package in ("onnxruntime", "onnxruntime-gpu"):
        install(package, tmp_path / "site")
    monkeypatch.syspath_prepend(tmp_path / "site")
    assert main(["doctor", "--json", "--home", str(tmp_path)]) == 1
    check = checks_of(capsys.readouterr().out)["package onnxruntime"]
    assert check["is_ok"] is False
    assert check["detail"] == "onnxruntime and onnxruntime-gpu overwrite each other's files"
    first, second = str(check["remedy"]).split(" && ")
    assert first.endswith("-m pip uninstall -y onnxruntime onnxruntime-gpu")
    assert second.endswith("-m pip install onnxruntime-gpu")


def test_doctor_says_which_list_or_limit_refuses_a_file(
    tmp_path: Path, movie: Path, speech: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def looked_at(path: Path) -> dict[str, str | bool]:
        capsys.readouterr()
        assert main(["doctor", "--json", "--home", str(tmp_path), str(path)]) == 1  # no model is installed here
        return json.loads(capsys.readouterr().out)["file"]  # type: ignore[no-any-return]

    assert looked_at(movie)["is_read"] is True and "h264, 64x48" in str(looked_at(movie)["detail"])
    song = tmp_path / "m.mid"
    song.write_bytes(b"FORM\0\0\0\x12XDIRINFO" + bytes(100))
    refused = looked_at(song)
    assert (refused["is_read"], refused["code"]) == (False, "MEDIA_UNREADABLE") and not refused["refused_by"]
    subtitles = tmp_path / "s.mp4"
    subtitles.write_text("1\n00:00:00,000 --> 00:00:02,000\nHello\n\n2\n00:00:03,000 --> 00:00:04,000\nBye\n")
    refused = looked_at(subtitles)
    assert refused["code"] == "MEDIA_REFUSED"
    assert refused["refused_by"] == "the list of formats that are read; LIPSYNC_ALLOW_DEMUXERS adds some"
    monkeypatch.setenv("LIPSYNC_MAX_PIXELS", "1000")
    refused = looked_at(movie)
    assert (refused["code"], refused["refused_by"]) == ("LIMIT_PIXELS", "the limit LIPSYNC_MAX_PIXELS, here 1000")
    assert main(["doctor", "--home", str(tmp_path), str(movie)]) == 1
    lines = capsys.readouterr().out.splitlines()
    assert any(line.startswith("The file is not read, LIMIT_PIXELS: ") for line in lines)
    assert any(line.strip() == "by: the limit LIPSYNC_MAX_PIXELS, here 1000" for line in lines)
    monkeypatch.setenv("LIPSYNC_ALLOW_DEMUXERS", "hls")
    assert looked_at(movie)["code"] == "BAD_OPTION" and not looked_at(movie)["refused_by"]
    monkeypatch.delenv("LIPSYNC_ALLOW_DEMUXERS")
    main(["doctor", "--home", str(tmp_path), str(speech)])
    assert "The file is read:\n" in capsys.readouterr().out
