"""The order for one part of a long job, as it crosses to the run that does it."""

from typing import Any

from pydantic import BaseModel, ConfigDict


class PartOrder(BaseModel):
    """What a run needs to do a part, beside the job's request."""

    model_config = ConfigDict(frozen=True)

    kind: str  # of part
    number: int  # from 0
    count: int  # of all parts
    first: int  # frame
    stop: int
    url: str  # of the part's file

    @property
    def frames(self) -> range:
        """Its frames: of the source for a track, else of the output."""
        return range(self.first, self.stop)

    @property
    def facts_url(self) -> str:
        """Of a second file that tells of the first, and is written last."""
        return f"{self.url}.json"

    @property
    def stage(self) -> str:
        """Its name in logs, in the ledger and in the UI."""
        return f"{self.kind} {self.number}"

    @property
    def parameters(self) -> dict[str, Any]:
        """Those of its run, beside the request and the attempt."""
        return {"order": self.model_dump(mode="json")}
