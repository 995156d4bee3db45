"""The request of a caller: the parameters of the flow, and the form in Prefect's UI."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import fields
from pathlib import PurePosixPath
from types import MappingProxyType
from typing import Any, Self
from urllib.parse import urlsplit

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    field_validator,
    model_validator,
)

from lipsync_core.errors import OptionError
from lipsync_core.media.output import MUXERS
from lipsync_core.option_specs import (
    OPTIONS,
    AudioCodec,
    Codec,
    Deinterlace,
    EncoderName,
    Extend,
    Length,
    Model,
    PixFmt,
)
from lipsync_core.options import JobOptions
from lipsync_service.client.field_types import Rate, Size, Track
from lipsync_service.client.text_types import Key, Label, LabelName, Url
from lipsync_service.names import INTERACTIVE, Priority
from lipsync_service.storage.seals import seal_of
from lipsync_service.tenants import TenantName

_SCHEMES = ("s3", "https", "http", "file")
_LONGEST_KEY = 255  # of the ledger's column
_DEFAULTS = JobOptions()
_NO_VALUE = object()
#: The fields with defaults of the releases whose digests held every field. It stays as it is: the digests of kept jobs
#: depend on it.
_FIRST_DEFAULTS: Mapping[str, object] = MappingProxyType(
    {
        "model": "auto",
        "length": "audio",
        "extend": "pingpong",
        "face": None,
        "enhance_quality": False,
        "crf": 20,
        "encoder": "x264",
        "min_synced": 0.0,
        "priority": "interactive",
        "callback_url": None,
        "metadata": {},
    }
)


def _option(name: str, title: str, description: str) -> Any:
    """The field of an option of a job, with its default and its range."""
    spec = OPTIONS[name]
    return Field(getattr(_DEFAULTS, name), ge=spec.lowest, le=spec.highest, title=title, description=description)


def _in_order(schema: dict[str, Any]) -> None:
    """Have Prefect's form show the fields in the order in which they are declared."""
    for position, field in enumerate(schema["properties"].values()):
        field["position"] = position


class LipSyncRequest(BaseModel):
    """One lip-sync job."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", title="Lip-sync job", hide_input_in_errors=True, json_schema_extra=_in_order
    )

    video: Url = Field(
        title="Video",
        description="The face: s3://BUCKET/KEY, https://… or file:///… of any video or still image.",
        examples=["s3://lipsync/inputs/face.mp4"],
    )
    audio: Url = Field(
        title="Audio",
        description="The speech: s3://BUCKET/KEY, https://… or file:///… of any file with sound.",
        examples=["s3://lipsync/inputs/speech.wav"],
    )
    output: Url = Field(
        title="Output",
        description="Where the result goes: s3://BUCKET/KEY, a presigned PUT address or file:///…, "
        "ending in .mp4, .m4v or .mov.",
        examples=["s3://lipsync/outputs/face.mp4"],
    )
    model: Model = _option("model", "Model", "Who moves the mouth; auto is the best model installed on the workers.")
    length: Length = _option("length", "Length", "Which input the result lasts as long as.")
    extend: Extend = _option("extend", "Extend", "How a video shorter than the result goes on.")
    face: int | None = _option("face", "Face", "Whom to sync: 0 is the leftmost face. Empty: the largest.")
    expression: float = _option(
        "expression",
        "Expression",
        "How far viseme moves the mouth: 0 not at all, 1 as usual, 1.5 at most. Other models refuse any but 1.",
    )
    enhance_quality: bool = _option(
        "enhance_quality",
        "Enhance quality",
        "Restore the face with GFPGAN: several times slower.",
    )
    crf: int = _option("crf", "CRF", "Quality of the encoded video: 0 is lossless, 51 the worst.")
    encoder: EncoderName = _option(
        "encoder",
        "Encoder",
        "What compresses the video; auto is nvenc where the worker has it, else x264, or x265 for hevc.",
    )
    codec: Codec = _option("codec", "Codec", "What the video is compressed to: h264, which plays everywhere, or hevc.")
    keep_depth: bool = _option(
        "keep_depth",
        "Keep depth",
        "Keep 10 bits and HDR, in HEVC. Off: they become 8 bits and standard brightness.",
    )
    pix_fmt: PixFmt = _option(
        "pix_fmt",
        "Pixel format",
        "auto is yuv420p, which plays everywhere, or 10 bits in HEVC; source is what the video has; or one "
        "of FFmpeg's.",
    )
    max_size: Size | None = _option(
        "max_size",
        "Largest size",
        "Scale larger pictures down to this, such as 1920x1080. Empty: to what H.264's level 5.2 holds.",
    )
    deinterlace: Deinterlace = _option(
        "deinterlace",
        "Deinterlace",
        "Make whole pictures of woven fields: auto where the video is interlaced, on always, off never.",
    )
    fps: Rate | None = Field(
        _DEFAULTS.fps,
        title="Frames a second",
        description="Of the result, such as 25 or 30000/1001. Empty: each frame lasts as in the source.",
    )
    audio_codec: AudioCodec = _option(
        "audio_codec",
        "Audio codec",
        "auto copies AAC-LC and makes AAC-LC of all other sound, which plays everywhere; aac always encodes; "
        "copy keeps the sound as it is, where the output can hold it.",
    )
    video_track: Track | None = _option(
        "video_track",
        "Video track",
        "Which of the video's tracks: a number from 0, or a language such as de. Empty: the file's own choice.",
    )
    audio_track: Track | None = _option(
        "audio_track",
        "Audio track",
        "Which of the audio's tracks: a number from 0, or a language such as de. Empty: the file's own choice.",
    )
    provenance: bool = _option(
        "provenance",
        "Provenance",
        "Sign the result, and say in its metadata that a model has changed it. A service may insist on it.",
    )
    min_synced: float = _option(
        "min_synced",
        "Minimum share synced",
        "Fail when a smaller share of the frames (0 to 1) gets synced; at 0, when none does.",
    )
    min_score: float = _option(
        "min_score",
        "Minimum sync score",
        "Fail, and deliver nothing, when the result's sync score (0 to 1) is lower. The service may ask for more.",
    )
    strict: bool = Field(
        False,
        title="Strict",
        description="Fail before the work, with PREFLIGHT_WARNING, when the preflight warns of the inputs.",
    )
    priority: Priority = Field(
        INTERACTIVE,
        title="Priority",
        description="The queue of its work: bulk jobs run when no interactive one waits.",
    )
    callback_url: Url | None = Field(
        None,
        title="Callback URL",
        description="https://… that is told, signed, when the job has completed, failed or been cancelled.",
    )
    metadata: dict[LabelName, Label] = Field(
        default_factory=dict,
        max_length=32,
        title="Metadata",
        description='Your own labels as JSON, such as {"shot": "12"}; kept with the run, given back in its callback.',
    )
    idempotency_key: Key | None = Field(
        None,
        title="Idempotency key",
        description="The same key and request is the same job; the same key with another request is refused.",
    )
    tenant: TenantName | None = Field(
        None,
        title="Tenant",
        description="Whose job it is, on a service that has tenants: their files are kept apart.",
    )

    @field_validator("face", "expression", "crf", "min_synced", "min_score", mode="before")
    @classmethod
    def _is_a_number(cls, value: object) -> object:
        if isinstance(value, bool):  # which Python takes for 0 or 1
            raise ValueError("it is true or false, and no number")
        return value

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

    @model_validator(mode="after")
    def _is_a_job(self) -> Self:
        try:
            self.options()
        except OptionError as exc:  # two options that do not go together
            raise ValueError(str(exc)) from exc
        if len(self.scoped_key or "") > _LONGEST_KEY:
            raise ValueError(f"the idempotency key and the tenant have more than {_LONGEST_KEY} characters")
        return self

    @property
    def scoped_key(self) -> str | None:
        """The idempotency key as the service knows it: those of two tenants are never the same."""
        return self.key_of_tenant(self.idempotency_key)

    def key_of_tenant(self, key: str | None) -> str | None:
        """`key` as one of this request's tenant."""
        return key if key is None or self.tenant is None else f"{self.tenant}/{key}"

    @property
    def output_suffix(self) -> str:
        """The ending of the output's name, which names its container: ".mp4", ".m4v" or ".mov"."""
        return _suffix(self.output)

    @property
    def digest(self) -> str:
        """sha256 (hexadecimal) of the request without the idempotency key, which stands for it.

        Fields that hold their defaults are left out, so that a new field changes no digest of requests without it.
        A sealed request has the digest of the whole one, as its seals say it; `opened` proves that.
        """
        for url in (self.video, self.audio, self.output, self.callback_url or ""):
            if (seal := seal_of(url)) is not None:
                return seal.digest
        usual = {name: field.get_default(call_default_factory=True) for name, field in type(self).model_fields.items()}
        told = self.model_dump(mode="json", exclude={"idempotency_key"})
        asked = {name: value for name, value in told.items() if value != usual[name]}
        counted = {**_FIRST_DEFAULTS, **asked}
        # A default of another release, asked for by name, is not today's default.
        named = sorted(name for name, value in asked.items() if _FIRST_DEFAULTS.get(name, _NO_VALUE) == value)
        if named:
            counted["named"] = named
        return hashlib.sha256(json.dumps(counted, sort_keys=True).encode()).hexdigest()

    def options(self) -> JobOptions:
        """The options that go to the core.

        Raises:
            OptionError: a value is outside its range.
        """
        shared = [field.name for field in fields(JobOptions) if field.name in type(self).model_fields]
        return JobOptions(**{name: getattr(self, name) for name in shared})


def _suffix(url: str) -> str:
    return PurePosixPath(urlsplit(url).path).suffix.lower()
