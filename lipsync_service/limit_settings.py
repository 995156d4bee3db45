"""The limits of one job as settings of the service: the fields of `lipsync_core.limits.Limits`, and longer lists."""

from dataclasses import fields

from pydantic import ByteSize, Field, ValidationInfo, field_validator
from pydantic_settings import BaseSettings

from lipsync_core.limits import Limits, limit_of
from lipsync_core.media.allowed import Allowed

_DEFAULTS = Limits()


class LimitSettings(BaseSettings):
    """Of `Settings`. docs/limits.md describes each; all have the core's defaults but the duration of an input."""

    max_input_bytes: ByteSize = Field(
        ByteSize(_DEFAULTS.max_input_bytes), gt=0, description="The greatest accepted size of an input."
    )
    max_duration_s: float = Field(3600.0, gt=0, description="The greatest accepted duration of an input.")
    max_pixels: int = Field(_DEFAULTS.max_pixels, gt=0)
    max_frames: int = Field(_DEFAULTS.max_frames, gt=0)
    max_frame_rate: int = Field(_DEFAULTS.max_frame_rate, gt=0)
    max_streams: int = Field(_DEFAULTS.max_streams, gt=0)
    max_channels: int = Field(_DEFAULTS.max_channels, gt=0)
    min_sample_rate_hz: int = Field(_DEFAULTS.min_sample_rate_hz, gt=0)
    max_sample_rate_hz: int = Field(_DEFAULTS.max_sample_rate_hz, gt=0)
    max_index_entries: int = Field(_DEFAULTS.max_index_entries, gt=0)
    max_metadata_bytes: ByteSize = Field(ByteSize(_DEFAULTS.max_metadata_bytes), gt=0)
    max_manifest_rows: int = Field(_DEFAULTS.max_manifest_rows, gt=0)
    max_manifest_bytes: ByteSize = Field(ByteSize(_DEFAULTS.max_manifest_bytes), gt=0)
    max_transfer_s: float = Field(
        _DEFAULTS.max_transfer_s, gt=0, description="The longest time for one file, with all attempts."
    )
    max_output_bytes: ByteSize = Field(ByteSize(_DEFAULTS.max_output_bytes), gt=0)
    min_free_bytes: ByteSize = Field(ByteSize(_DEFAULTS.min_free_bytes), gt=0)
    max_job_s: float = Field(_DEFAULTS.max_job_s, gt=0)
    max_job_cpu_s: float = Field(_DEFAULTS.max_job_cpu_s, gt=0)
    max_job_memory_bytes: ByteSize = Field(ByteSize(_DEFAULTS.max_job_memory_bytes), gt=0)
    max_reading_memory_bytes: ByteSize = Field(ByteSize(_DEFAULTS.max_reading_memory_bytes), gt=0)
    max_reading_cpu_s: int = Field(_DEFAULTS.max_reading_cpu_s, gt=0)
    max_opening_memory_bytes: ByteSize = Field(ByteSize(_DEFAULTS.max_opening_memory_bytes), gt=0)
    max_opening_cpu_s: int = Field(_DEFAULTS.max_opening_cpu_s, gt=0)
    allow_demuxers: str = Field("", description="Formats that are read beside those of docs/limits.md: FFmpeg's names.")
    allow_decoders: str = Field("", description="Codecs that are read beside those of docs/limits.md: FFmpeg's names.")

    @field_validator(*(each.name for each in fields(Limits)), mode="before")
    @classmethod
    def _means_the_same_as_for_the_command(cls, value: object, info: ValidationInfo) -> object:
        if not isinstance(value, str):
            return value
        name = info.field_name or ""
        return limit_of(name, value) if value.strip() else cls.model_fields[name].default

    @property
    def limits(self) -> Limits:
        """The limits of this host's jobs."""
        return Limits(**{each.name: getattr(self, each.name) for each in fields(Limits)})

    @property
    def allowed(self) -> Allowed:
        """The formats and codecs that this host reads.

        Raises:
            OptionError: FFmpeg has no such format or codec, or the format opens other files.
        """
        return Allowed().with_more(self.allow_demuxers, self.allow_decoders)
