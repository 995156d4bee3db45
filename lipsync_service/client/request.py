"""The request of a caller: the parameters of the flow, and the form in Prefect's UI."""

import hashlib
import json
from dataclasses import fields
from pathlib import PurePosixPath
from typing import Annotated
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, Field, field_validator

from lipsync_core.media.output import MUXERS
from lipsync_core.option_specs import MAX_FACE, OPTIONS, EncoderName, Extend, Length, Model
from lipsync_core.options import JobOptions
from lipsync_service.names import INTERACTIVE, Priority

_SCHEMES = ("s3", "https", "http", "file")
_Url = Annotated[str, Field(min_length=1, max_length=4096)]
_Label = Annotated[str, Field(max_length=1024)]
_DEFAULTS = JobOptions()


class LipSyncRequest(BaseModel):
    """One lip-sync job."""

    model_config = ConfigDict(frozen=True, extra="forbid", title="Lip-sync job", hide_input_in_errors=True)

    video: _Url = Field(
        title="Video",
        description="The face: s3://BUCKET/KEY, https://… or file:///… of any video or still image.",
        examples=["s3://lipsync/inputs/face.mp4"],
        json_schema_extra={"position": 0},
    )
    audio: _Url = Field(
        title="Audio",
        description="The speech: s3://BUCKET/KEY, https://… or file:///… of any file with sound.",
        examples=["s3://lipsync/inputs/speech.wav"],
        json_schema_extra={"position": 1},
    )
    output: _Url = Field(
        title="Output",
        description="Where the result goes: s3://BUCKET/KEY, a presigned PUT address or file:///…, "
        "ending in .mp4, .m4v or .mov.",
        examples=["s3://lipsync/outputs/face.mp4"],
        json_schema_extra={"position": 2},
    )
    model: Model = Field(
        _DEFAULTS.model,
        title="Model",
        description="Who moves the mouth; auto is the best model installed on the workers.",
        json_schema_extra={"position": 3},
    )
    length: Length = Field(
        _DEFAULTS.length,
        title="Length",
        description="Which input the result lasts as long as.",
        json_schema_extra={"position": 4},
    )
    extend: Extend = Field(
        _DEFAULTS.extend,
        title="Extend",
        description="How a video shorter than the result goes on.",
        json_schema_extra={"position": 5},
    )
    face: int | None = Field(
        None,
        ge=0,
        le=MAX_FACE,
        title="Face",
        description="Whom to sync: 0 is the leftmost face. Empty: the largest.",
        json_schema_extra={"position": 6},
    )
    enhance_quality: bool = Field(
        False,
        title="Enhance quality",
        description="Restore the face with GFPGAN: several times slower.",
        json_schema_extra={"position": 7},
    )
    crf: int = Field(
        _DEFAULTS.crf,
        ge=OPTIONS["crf"].lowest,
        le=OPTIONS["crf"].highest,
        title="CRF",
        description="Quality of the encoded video: 0 is lossless, 51 the worst.",
        json_schema_extra={"position": 8},
    )
    encoder: EncoderName = Field(
        _DEFAULTS.encoder, title="Encoder", description="Who compresses the video.", json_schema_extra={"position": 9}
    )
    min_synced: float = Field(
        _DEFAULTS.min_synced,
        ge=OPTIONS["min_synced"].lowest,
        le=OPTIONS["min_synced"].highest,
        title="Minimum share synced",
        description="Fail when a smaller share of the frames (0 to 1) gets synced; at 0, when none does.",
        json_schema_extra={"position": 10},
    )
    priority: Priority = Field(
        INTERACTIVE,
        title="Priority",
        description="The queue of its work: bulk jobs run when no interactive one waits.",
        json_schema_extra={"position": 11},
    )
    callback_url: _Url | None = Field(
        None,
        title="Callback URL",
        description="https://… that is told, signed, when the job has completed, failed or been cancelled.",
        json_schema_extra={"position": 12},
    )
    metadata: dict[str, _Label] = Field(
        default_factory=dict,
        max_length=32,
        title="Metadata",
        description='Your own labels as JSON, such as {"shot": "12"}; kept with the run, given back in its callback.',
        json_schema_extra={"position": 13},
    )
    idempotency_key: str | None = Field(
        None,
        min_length=1,
        max_length=255,
        title="Idempotency key",
        description="The same key and request is the same job; the same key with another request is refused.",
        json_schema_extra={"position": 14},
    )

    @field_validator("video", "audio", "output")
    @classmethod
    def _is_an_address(cls, value: str) -> str:
        parts = urlsplit(value)
        if parts.scheme not in _SCHEMES:
            raise ValueError("it does not begin with s3://, https://, http:// or file://")
        if parts.scheme != "file" and not parts.netloc:
            raise ValueError("it names no host or bucket")
        return value

    @field_validator("callback_url")
    @classmethod
    def _is_of_the_web(cls, value: str | None) -> str | None:
        parts = urlsplit(value or "https://-")
        if parts.scheme not in ("https", "http") or not parts.netloc:
            raise ValueError("it does not begin with https:// or http:// and a host")
        return value

    @field_validator("output")
    @classmethod
    def _is_a_movie(cls, value: str) -> str:
        if _suffix(value) not in MUXERS:
            raise ValueError(f"its path ends in none of {', '.join(MUXERS)}")
        return value

    @property
    def output_suffix(self) -> str:
        """The ending of the output's name, which names its container: ".mp4", ".m4v" or ".mov"."""
        return _suffix(self.output)

    @property
    def digest(self) -> str:
        """sha256 (hexadecimal) of the whole request without the idempotency key, which stands for it."""
        asked = self.model_dump(mode="json", exclude={"idempotency_key"})
        return hashlib.sha256(json.dumps(asked, sort_keys=True).encode()).hexdigest()

    def options(self) -> JobOptions:
        """The options that go to the core.

        Raises:
            OptionError: a value is outside its range.
        """
        shared = [field.name for field in fields(JobOptions) if field.name in type(self).model_fields]
        return JobOptions(**{name: getattr(self, name) for name in shared})


def _suffix(url: str) -> str:
    return PurePosixPath(urlsplit(url).path).suffix.lower()
