"""An error that crosses from one run to another."""

from pydantic import BaseModel, ConfigDict

from lipsync_core.errors import LipSyncError, error_of


class Failure(BaseModel):
    """An error of this product in a form that crosses from one process to another."""

    model_config = ConfigDict(frozen=True)

    code: str
    message: str
    remedy: str = ""

    @classmethod
    def of(cls, error: LipSyncError) -> "Failure":
        """The code, message and remedy of `error`."""
        return cls(code=error.code, message=error.message, remedy=error.remedy)

    def error(self) -> LipSyncError:
        """An error of the class that has this code."""
        return error_of(self.code, self.message, self.remedy)
