"""One table holds the values of every option; the command line, the request and the implementations agree with it."""

import subprocess
import sys
from dataclasses import fields
from fractions import Fraction
from pathlib import Path

import click
import pytest

from lipsync_cli.commands.run import run
from lipsync_cli.commands.submit import submit
from lipsync_core import JobOptions
from lipsync_core.choices import listed, require_choice
from lipsync_core.errors import OptionError
from lipsync_core.execution import Execution
from lipsync_core.media.encoders import ENCODERS
from lipsync_core.option_specs import MODELS, NEURAL_MODELS, OPTIONS, Codec, EncoderName, Model

FIELDS = {field.name: field.default for options in (JobOptions, Execution) for field in fields(options)}


def test_every_option_of_a_job_and_of_the_machine_has_a_spec() -> None:
    assert set(OPTIONS) == set(FIELDS)


@pytest.mark.parametrize("name", FIELDS)
def test_the_default_is_one_of_the_choices(name: str) -> None:
    spec, default = OPTIONS[name], FIELDS[name]
    assert not spec.choices or default in spec.choices
    assert default is None or not (spec.lowest or spec.highest) or spec.holds(default)


@pytest.mark.parametrize("name", [name for name, spec in OPTIONS.items() if spec.has_range])
def test_a_number_fails_when_it_lies_outside_the_range_of_its_option(name: str) -> None:
    spec = OPTIONS[name]
    outside = [] if spec.lowest is None else [spec.lowest - 1]
    outside += [] if spec.highest is None else [spec.highest + 1]
    for number in outside:
        with pytest.raises(OptionError, match=f"^{spec.option} is "):
            JobOptions(**{name: number})


def test_the_names_are_those_of_what_can_be_loaded() -> None:
    assert set(MODELS) == {"auto", "viseme", *NEURAL_MODELS}
    on_gpu = {f"{codec}_nvenc" for codec in OPTIONS["codec"].choices}
    assert set(OPTIONS["encoder"].choices) == {"auto", "nvenc", *(set(ENCODERS) - on_gpu)}
    assert on_gpu < set(ENCODERS)


def test_the_command_line_offers_the_same_options() -> None:
    parameters = {each.name: each for each in run.params if each.name in OPTIONS}
    assert set(parameters) == set(OPTIONS)
    for name, parameter in parameters.items():
        assert isinstance(parameter, click.Option)
        assert parameter.help == OPTIONS[name].help
        if isinstance(parameter.type, click.Choice):
            assert tuple(parameter.type.choices) == OPTIONS[name].choices


def test_the_service_offers_its_options_as_the_command_line_does() -> None:
    local = {each.name: each.to_info_dict() for each in run.params if each.name in OPTIONS}
    served = {each.name: each.to_info_dict() for each in submit.params if each.name in OPTIONS}
    client = pytest.importorskip("lipsync_service.client.request", exc_type=ImportError)
    assert set(served) == set(OPTIONS) & set(client.LipSyncRequest.model_fields)
    shown = ("model", "enhance_quality")  # whose helps are shorter there
    for name, option in served.items():
        assert {**option, "help": ""} == {**local[name], "help": ""}
        assert name in shown or option["help"] == local[name]["help"]


def test_an_option_without_a_value_says_what_it_is_then() -> None:
    machine = {"model_server", "model_server_wait_s"}  # they tell in their help
    assert {name for name, default in FIELDS.items() if default is None} - machine == {
        name for name, spec in OPTIONS.items() if spec.unset
    }


def test_a_command_without_options_gives_the_defaults_of_the_core() -> None:
    with run.make_context("run", ["a.mp4", "b.wav", "-o", "out.mp4"]) as context:
        assert {name: context.params[name] for name in FIELDS} == FIELDS


def test_a_range_holds_its_ends_and_nothing_beyond() -> None:
    crf, start = OPTIONS["crf"], OPTIONS["start_s"]
    assert [crf.holds(value) for value in (-1, 0, 51, 52)] == [False, True, True, False]
    assert start.holds(1e9) and not start.holds(-1)


@pytest.mark.parametrize("name", [name for name, spec in OPTIONS.items() if spec.has_range])
def test_a_range_does_not_hold_what_is_not_a_number(name: str) -> None:
    assert not OPTIONS[name].holds(float("nan"))


def test_choices_are_written_as_a_sentence_has_them() -> None:
    assert listed(("a", "b", "c")) == "a, b or c"
    assert listed(("a",)) == "a"


def test_a_choice_fails_when_it_is_another_name() -> None:
    require_choice("length", "audio", ("audio", "video"))
    with pytest.raises(OptionError, match="length is 'sound'; choose audio or video"):
        require_choice("length", "sound", ("audio", "video"))


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("length", "x"),
        ("extend", ""),
        ("blend", "x"),
        ("compat", "x"),
        ("preset", "x"),
        ("encoder", "x"),
        ("codec", "x"),
        ("audio_codec", "mp3"),
        ("crf", 52),
        ("expression", 1.6),
        ("expression", float("nan")),
        ("min_synced", -0.1),
        ("min_synced", float("nan")),
        ("fps", Fraction(1, 2)),
        ("fps", Fraction(241)),
    ],
)
def test_options_fail_when_a_value_is_outside_its_choices_or_range(field: str, value: object) -> None:
    with pytest.raises(OptionError, match="choose"):
        JobOptions(**{field: value})  # type: ignore[arg-type]


@pytest.mark.parametrize(("encoder", "codec"), [("x264", "hevc"), ("x265", "h264")])
def test_options_fail_when_the_encoder_makes_another_codec(encoder: EncoderName, codec: Codec) -> None:
    with pytest.raises(OptionError, match=f"^encoder {encoder} does not make {codec}; choose codec "):
        JobOptions(encoder=encoder, codec=codec)


@pytest.mark.parametrize("model", NEURAL_MODELS)
def test_options_fail_when_a_network_is_asked_for_another_expression(model: Model) -> None:
    assert JobOptions(model=model, expression=1.0) == JobOptions(model=model)
    with pytest.raises(OptionError, match=f"^expression 0.7 does not go with model {model}; choose model viseme, or "):
        JobOptions(model=model, expression=0.7)


@pytest.mark.parametrize(("option", "value"), [("--face", str(10**31)), ("--min-synced", "nan")])
def test_a_command_fails_in_one_line_when_a_number_is_outside_its_range(
    option: str, value: str, tmp_path: Path
) -> None:
    command = [Path(sys.executable).with_name("lipsync"), "run", "a.mp4", "b.wav", "-o", "out.mp4", option, value]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False, timeout=60)
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    assert "BAD_OPTION" in done.stderr
