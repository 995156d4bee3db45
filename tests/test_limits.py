"""The limits as numbers: read from variables, the same in the service, in the documents and in doctor."""

import json
import re
from dataclasses import fields, replace
from fractions import Fraction
from pathlib import Path

import pytest

import lipsync_core.limit_errors
from lipsync_cli.main import main
from lipsync_core import JobOptions, Workspace, lip_sync
from lipsync_core.errors import LimitError, OptionError
from lipsync_core.limit_errors import DurationLimitError, OutputLimitError
from lipsync_core.limits import Limits, limited, limits, limits_of, variable_of
from lipsync_core.media.probe import probe
from tests.service.conftest import NOT_INSTALLED
from tests.shared_files import ROOT
from tests.test_errors import declared, drawn


@pytest.mark.parametrize(
    ("variable", "text", "name", "number"),
    [
        ("LIPSYNC_MAX_OUTPUT_BYTES", "3GiB", "max_output_bytes", 3 << 30),
        ("LIPSYNC_MAX_OUTPUT_BYTES", "1.5 MB", "max_output_bytes", 1_500_000),
        ("LIPSYNC_MAX_OUTPUT_BYTES", "77", "max_output_bytes", 77),
        ("LIPSYNC_MAX_OUTPUT_BYTES", "2TiB", "max_output_bytes", 2 << 40),
        ("LIPSYNC_MAX_OUTPUT_BYTES", "2 tb", "max_output_bytes", 2 * 10**12),
        ("LIPSYNC_MAX_OUTPUT_BYTES", "9007199254740993", "max_output_bytes", 9007199254740993),
        ("LIPSYNC_MAX_DURATION_S", "0.5", "max_duration_s", 0.5),
        ("LIPSYNC_MAX_PIXELS", "1e6", "max_pixels", 1_000_000),
        ("LIPSYNC_MAX_PIXELS", "5_000", "max_pixels", 5000),
        ("LIPSYNC_MAX_PIXELS", " 12 ", "max_pixels", 12),
        ("LIPSYNC_MAX_PIXELS", "", "max_pixels", Limits().max_pixels),
    ],
)
def test_a_variable_sets_its_limit_alone(variable: str, text: str, name: str, number: float) -> None:
    assert limits_of({variable: text}) == replace(Limits(), **{name: number})


REFUSED = (
    *(f"PIXELS={text}" for text in ("many", "-1", "0", "nan", "inf", "1e400", "3 MiB", "1,5", "0x10", "0.5", "1e10")),
    *(f"OUTPUT_BYTES={text}" for text in ("4G", "4 Gbit", "0.5", "1e400", "-1", "GiB", "1PB", "5__", "nan")),
    *(f"DURATION_S={text}" for text in ("inf", "nan", "1e400", "1e-400", "-1", "0", "5s", "\u0665")),
)


@pytest.mark.parametrize("pair", REFUSED)
def test_a_variable_fails_when_the_limit_cannot_be_its_number(pair: str) -> None:
    name, _, text = pair.partition("=")
    with pytest.raises(OptionError, match=rf"^LIPSYNC_MAX_{name} cannot be used: "):
        limits_of({f"LIPSYNC_MAX_{name}": text})


@pytest.mark.parametrize(
    "text",
    [pair.partition("=")[2] for pair in REFUSED]
    + ["1e6", "1TiB", "4GiB", "4 gib", " 5 ", "5_000", "1.5", "1.5 MB", "+7", "7.", "", " ", "3e2"],
)
@pytest.mark.parametrize("name", ["max_pixels", "max_output_bytes", "max_job_s", "max_reading_cpu_s"])
def test_a_variable_means_the_same_for_the_command_and_for_the_service(
    name: str, text: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = pytest.importorskip("lipsync_service.settings", exc_type=ImportError, reason=NOT_INSTALLED)
    monkeypatch.setenv(variable_of(name), text)
    read: list[object] = []
    for reader in (lambda: limits_of({variable_of(name): text}), lambda: settings.load_settings().limits):
        try:
            read.append(getattr(reader(), name))
        except OptionError as error:
            read.append(str(error))
    assert read[0] == read[1]


@pytest.mark.parametrize(
    ("variable", "meant"),
    [
        ("LIPSYNC_MAX_PIXEL", "do you mean LIPSYNC_MAX_PIXELS?"),
        ("LIPSYNC_MAX_OUTPUT_SIZE_BYTES", "do you mean LIPSYNC_MAX_OUTPUT_BYTES?"),
        ("LIPSYNC_MIN_SAMPLE_RATE", "do you mean LIPSYNC_MIN_SAMPLE_RATE_HZ?"),
        ("LIPSYNC_MAX_QQQ_ZZZZZZZZZZZZ", "see docs/limits.md"),
    ],
)
def test_a_limit_that_there_is_not_is_refused(
    variable: str, meant: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    settings = pytest.importorskip("lipsync_service.settings", exc_type=ImportError, reason=NOT_INSTALLED)
    with pytest.raises(OptionError) as caught:
        limits_of({variable: "1"})
    assert (caught.value.message, caught.value.remedy) == (f"{variable} is no limit", meant)
    (tmp_path / "service.env").write_text(f"{variable}=1\n")
    with pytest.raises(OptionError, match=f"{variable} is no limit"):
        settings.load_settings(tmp_path / "service.env")
    monkeypatch.setenv(variable, "1")
    with pytest.raises(OptionError, match=f"{variable} is no limit"):
        settings.load_settings()


def test_limits_hold_for_their_block_alone(speech_wav: Path) -> None:
    with limited(Limits(max_duration_s=2)), pytest.raises(DurationLimitError, match="plays longer than 2 s"):
        probe(speech_wav)
    assert limits() == Limits()
    assert probe(speech_wav).audio


def test_every_limit_is_a_setting_of_the_service_with_the_same_default_but_the_duration() -> None:
    settings = pytest.importorskip("lipsync_service.settings", exc_type=ImportError, reason=NOT_INSTALLED)
    assert settings.Settings().limits == replace(Limits(), max_duration_s=3600)
    assert {settings.variable_of(each.name) for each in fields(Limits)} == {
        variable_of(each.name) for each in fields(Limits)
    }


def test_every_limit_and_every_code_stands_in_the_document() -> None:
    text = (ROOT / "docs" / "limits.md").read_text(encoding="utf-8")
    assert {variable_of(each.name) for each in fields(Limits)} <= set(re.findall(r"`(LIPSYNC_\w+)`", text))
    service = pytest.importorskip("lipsync_service.errors", exc_type=ImportError, reason=NOT_INSTALLED)
    codes = {kind.code for kind in LimitError.__subclasses__()} | {service.TooSlowError.code}
    assert len(codes) == 17 and codes == set(re.findall(r"`(LIMIT_\w+)`", text))


def test_the_tree_of_the_limits_is_drawn_as_it_is() -> None:
    roots = {("", "InputError", "INPUT_INVALID", "3"), ("InputError", "LimitError", "LIMIT_EXCEEDED", "")}
    assert drawn(lipsync_core.limit_errors) - roots == declared(lipsync_core.limit_errors)


def test_doctor_shows_the_limits_in_force(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("LIPSYNC_MAX_PIXELS", "1234567")
    monkeypatch.setenv("LIPSYNC_ALLOW_DEMUXERS", "nut")
    main(["doctor", "--json", "--home", str(tmp_path)])
    checks = {each["name"]: each for each in json.loads(capsys.readouterr().out)["checks"]}
    assert {f"limit {each.name}" for each in fields(Limits)} <= set(checks)
    assert checks["limit max_pixels"]["detail"].startswith("1234567 ")
    assert ", nut;" in checks["formats read"]["detail"]


def test_doctor_says_which_variable_cannot_be_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("LIPSYNC_ALLOW_DEMUXERS", "hls")
    assert main(["doctor", "--json", "--home", str(tmp_path)]) == 1
    checks = {each["name"]: each for each in json.loads(capsys.readouterr().out)["checks"]}
    assert checks["limits"]["is_ok"] is False
    assert checks["limits"]["remedy"] == "unset LIPSYNC_ALLOW_DEMUXERS"


def test_a_result_that_grows_too_large_is_given_up(
    face_clip: Path, speech_wav: Path, workspace: Workspace, tmp_path: Path
) -> None:
    output = tmp_path / "out.mp4"
    options = JobOptions(end_s=Fraction(2))
    with limited(Limits(max_output_bytes=9000)), pytest.raises(OutputLimitError, match="more than 9000 bytes"):
        lip_sync(face_clip, speech_wav, output, options, workspace)
    assert [each for each in tmp_path.iterdir() if each.is_file()] == []
