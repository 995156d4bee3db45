"""What becomes of results whose mouth does not follow the sound: a part of the service's settings."""

from typing import Literal

from pydantic import BaseModel, Field, field_validator


class QualitySettings(BaseModel):
    """The variables LIPSYNC_QUALITY and LIPSYNC_MIN_SCORE."""

    quality: Literal["deliver", "deliver-and-flag", "fail"] = Field(
        "deliver",
        description="Of a result whose sync score is lower than LIPSYNC_MIN_SCORE: deliver it, deliver it and say so "
        "in ledger, log and artifact, or fail the job with QUALITY_LOW.",
    )
    min_score: float = Field(0.75, ge=0.0, le=1.0, description="The sync score of a good result, 0 to 1.")

    @field_validator("quality", mode="before")
    @classmethod
    def _empty_is_deliver(cls, value: object) -> object:
        return "deliver" if value == "" else value
