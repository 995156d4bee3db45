"""The request: the fields that it accepts and refuses, and its form."""

import re
from dataclasses import fields
from fractions import Fraction
from pathlib import Path

import pytest
from pydantic import ValidationError

from lipsync_core.options import JobOptions
from lipsync_service.client.request import LipSyncRequest

_FILES = {"video": "s3://in/face.mp4", "audio": "https://host.example/a.wav?X-Sig=1", "output": "s3://out/o.MOV?x=1"}


def test_a_request_with_files_alone_has_the_options_of_the_command_line() -> None:
    request = LipSyncRequest.model_validate(_FILES)
    assert request.options() == JobOptions()
    assert request.output_suffix == ".mov"


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("video", "ftp://host/face.mp4"),
        ("video", "face.mp4"),
        ("audio", "s3:///key-without-bucket"),
        ("output", "s3://out/o.avi"),
        ("output", "https://host/"),
        ("model", "lipgan"),
        ("crf", 52),
        ("crf", -1),
        ("face", -1),
        ("expression", 1.6),
        ("min_synced", 1.1),
        ("min_score", 1.1),
        ("min_score", -0.1),
        ("min_score", True),
        ("min_score", False),
        ("min_synced", True),
        ("expression", True),
        ("crf", True),
        ("face", False),
        ("priority", "urgent"),
        ("pix_fmt", "rgb24"),
        ("keep_depth", "perhaps"),
        ("max_size", "large"),
        ("max_size", "1920x1080x3"),
        ("deinterlace", "maybe"),
        ("video_track", ""),
        ("audio_track", "x" * 65),
        ("audio_track", 1.5),
        ("callback_url", "s3://bucket/key"),
        ("metadata", {"note": "x" * 1025}),
        ("idempotency_key", ""),
        ("no_such_field", 1),
    ],
)
def test_a_request_fails_when_a_value_is_out_of_bounds(field: str, value: object) -> None:
    with pytest.raises(ValidationError) as refused:
        LipSyncRequest.model_validate({**_FILES, field: value})
    assert refused.value.errors()[0]["loc"][0] == field


def test_a_request_is_never_changed() -> None:
    with pytest.raises(ValidationError):
        LipSyncRequest.model_validate(_FILES).crf = 18  # type: ignore[misc]


def test_the_form_shows_every_field_in_order_with_a_title_and_a_description() -> None:
    schema = LipSyncRequest.model_json_schema()
    fields = schema["properties"]
    assert [field["position"] for field in fields.values()] == list(range(len(LipSyncRequest.model_fields)))
    assert all(field["title"] and field["description"] for field in fields.values())
    assert fields["model"]["enum"] == ["auto", "viseme", "wav2lip", "wav2lip-gan"]
    assert (fields["crf"]["minimum"], fields["crf"]["maximum"]) == (0, 51)
    assert schema["required"] == ["video", "audio", "output"]


def test_the_documentation_names_every_field() -> None:
    text = (Path(__file__).parents[3] / "docs" / "service.md").read_text(encoding="utf-8")
    section = text.partition("### What a request may ask for\n")[2].partition("\n###")[0]
    cells = [line.split("|")[1] for line in section.splitlines() if line.startswith("| `")]
    named = re.findall(r"`(\w+)`", " ".join(cells))
    assert sorted([*named, "video", "audio", "output"]) == sorted(LipSyncRequest.model_fields)


def test_every_option_of_a_request_reaches_the_job() -> None:
    chosen = {
        "model": "viseme",
        "length": "video",
        "extend": "freeze",
        "face": 2,
        "expression": 0.5,
        "enhance_quality": True,
        "crf": 31,
        "encoder": "x265",
        "codec": "hevc",
        "keep_depth": True,
        "pix_fmt": "yuv422p10le",
        "max_size": (1920, 1080),
        "deinterlace": "off",
        "fps": Fraction(30000, 1001),
        "audio_codec": "copy",
        "video_track": "1",
        "audio_track": "de",
        "provenance": False,
        "min_synced": 0.25,
        "min_score": 0.9,
    }
    shared = {field.name for field in fields(JobOptions)} & set(LipSyncRequest.model_fields)
    assert set(chosen) == shared
    options = LipSyncRequest.model_validate({**_FILES, **chosen}).options()
    assert {name: getattr(options, name) for name in chosen} == chosen
    assert all(chosen[name] != getattr(JobOptions(), name) for name in chosen)


def test_a_request_fails_when_two_options_do_not_go_together() -> None:
    with pytest.raises(ValidationError, match="encoder x265 does not make h264; choose codec hevc, or auto"):
        LipSyncRequest.model_validate({**_FILES, "encoder": "x265"})


def test_a_request_fails_when_a_network_is_asked_for_another_expression() -> None:
    with pytest.raises(ValidationError, match=r"expression 0\.5 does not go with model wav2lip; choose model viseme"):
        LipSyncRequest.model_validate({**_FILES, "model": "wav2lip", "expression": 0.5})


def test_a_request_has_the_digest_of_the_releases_before_a_field_was_added() -> None:
    """The sums were computed by a release whose digests held every field, from the same requests."""
    plain = LipSyncRequest.model_validate(_FILES)
    assert plain.digest == "dbe2905a8ca47bc06e3f9048a49ce200dff7d629b23b1aec4c2c6517f2b4d4f4"
    chosen = {"crf": 31, "metadata": {"a": "b"}, "priority": "bulk"}
    other = LipSyncRequest.model_validate({**_FILES, **chosen, "idempotency_key": "k"})
    assert other.digest == "8bd49349507ba4ffbebaf438942d0ddc51fd6339c67745e5ee25a3262042bd25"
    # By a release without the fields for tracks and pictures:
    later = {"expression": 0.5, "codec": "hevc", "fps": "30000/1001", "audio_codec": "copy", "encoder": "nvenc"}
    chosen_later = LipSyncRequest.model_validate({**_FILES, **later, "face": 2, "crf": 31, "idempotency_key": "k"})
    assert chosen_later.digest == "808a531737804b30f23cc31dedc67d30aae8e6cfdb81eefb0a071975b0f130f3"


def test_defaults_that_are_named_change_no_digest() -> None:
    plain = LipSyncRequest.model_validate(_FILES)
    asked = plain.model_dump(mode="json", exclude={"idempotency_key"})
    assert LipSyncRequest.model_validate(asked).digest == plain.digest


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("encoder", "x264"),
        ("encoder", "nvenc"),
        ("codec", "hevc"),
        ("audio_codec", "aac"),
        ("keep_depth", True),
        ("pix_fmt", "source"),
        ("max_size", "640x360"),
        ("deinterlace", "on"),
        ("video_track", "0"),
        ("audio_track", "0"),
        ("crf", 21),
        ("expression", 0.9),
        ("face", 0),
        ("strict", True),
    ],
)
def test_another_choice_is_another_digest(field: str, value: object) -> None:
    digests = {LipSyncRequest.model_validate({**_FILES, **more}).digest for more in ({}, {field: value})}
    assert len(digests) == 2


@pytest.mark.parametrize(
    ("value", "rate"), [(25, 25), ("29.97", Fraction(2997, 100)), ("30000/1001", Fraction(30000, 1001))]
)
def test_a_frame_rate_is_exact(value: object, rate: Fraction) -> None:
    request = LipSyncRequest.model_validate({**_FILES, "fps": value})
    assert request.options().fps == rate
    assert LipSyncRequest.model_validate_json(request.model_dump_json()) == request


@pytest.mark.parametrize("value", ["fast", "25/0", "1e3", -25, 0, 1000, ""])
def test_a_request_fails_when_its_frame_rate_is_none(value: object) -> None:
    with pytest.raises(ValidationError, match="frame"):
        LipSyncRequest.model_validate({**_FILES, "fps": value})


@pytest.mark.parametrize("value", ["1280x720", (1280, 720)])
def test_a_size_is_read_and_sent_on_as_it_is(value: object) -> None:
    request = LipSyncRequest.model_validate({**_FILES, "max_size": value})
    assert request.options().max_size == (1280, 720)
    assert request.model_dump(mode="json")["max_size"] == "1280x720"
    assert LipSyncRequest.model_validate_json(request.model_dump_json()) == request


@pytest.mark.parametrize("value", ["32x32", "0x0", (640, "a"), [640, 360], "640X360", ""])
def test_a_request_fails_when_its_size_is_none(value: object) -> None:
    with pytest.raises(ValidationError, match=r"no size|max-size is \d+x\d+; choose 64 pixels or more"):
        LipSyncRequest.model_validate({**_FILES, "max_size": value})


def test_a_track_may_be_written_as_a_number() -> None:
    requests = [LipSyncRequest.model_validate({**_FILES, "audio_track": track}) for track in (1, "1")]
    assert requests[0].options().audio_track == "1"
    assert requests[0].digest == requests[1].digest
