"""The request: the fields that it accepts and refuses, and its form."""

from dataclasses import fields

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
        ("min_synced", 1.1),
        ("priority", "urgent"),
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


def test_every_option_of_a_request_reaches_the_job() -> None:
    chosen = {
        "model": "wav2lip",
        "length": "video",
        "extend": "freeze",
        "face": 2,
        "enhance_quality": True,
        "crf": 31,
        "encoder": "x264",  # the only one
        "min_synced": 0.25,
    }
    shared = {field.name for field in fields(JobOptions)} & set(LipSyncRequest.model_fields)
    assert set(chosen) == shared
    options = LipSyncRequest.model_validate({**_FILES, **chosen}).options()
    assert {name: getattr(options, name) for name in chosen} == chosen
    assert all(chosen[name] != getattr(JobOptions(), name) for name in chosen if name != "encoder")
