"""Conditional writes to S3: an object is replaced only while it is the one that was there before.

boto3's managed transfer takes no condition, so it is added to the request that gives an object its name: `PutObject`,
or the last one of an upload in parts. Amazon's server, MinIO and SeaweedFS keep conditions.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Final

from lipsync_core.errors import TransientError
from lipsync_service.errors import AccessDeniedError, ObjectMissingError, StorageError
from lipsync_service.storage.source import MayWrite, SourceChangedError, TargetChangedError
from lipsync_service.storage.url import Location

_NAMING: Final = ("PutObject", "CompleteMultipartUpload")


class ConditionUnknownError(StorageError):
    """The server does not implement the request, which held a condition."""


class GuardedWrites:
    """The writes of a client that ask, at their last moment, whether they may still write."""

    def __init__(self, client: Any) -> None:
        self._conditions: dict[tuple[str, str], dict[str, str]] = {}  # of the writes under way, by bucket and key
        self._are_known = True  # the server has not said that it implements no conditions
        for operation in _NAMING:
            client.meta.events.register(f"before-parameter-build.s3.{operation}", self._add)

    @contextmanager
    def guarded(
        self, location: Location, may_write: MayWrite | None, tag_of: Callable[[Location], str]
    ) -> Iterator[None]:
        """Ask `may_write`; a write to `location` within the block replaces no object that has come since.

        A server without conditions, or a key that may only write, gets the write without one. `tag_of` gives the tag of
        the present object.

        Raises:
            TargetChangedError: such an object has come.
        """
        if may_write is None:
            yield
            return
        condition = self._condition(location, tag_of)  # first: what comes after it is noticed
        may_write()
        key = (location.host, location.path)
        self._conditions[key] = condition
        try:
            yield
        except SourceChangedError as exc:
            raise TargetChangedError(f"{location.shown}: another file came there meanwhile", "try again") from exc
        except ConditionUnknownError as exc:
            if not condition:
                raise
            self._are_known = False
            raise TransientError(exc.message, "try again: without a condition") from exc
        finally:
            del self._conditions[key]

    def _condition(self, location: Location, tag_of: Callable[[Location], str]) -> dict[str, str]:
        if not self._are_known:
            return {}
        try:
            return {"IfMatch": tag_of(location)}
        except ObjectMissingError:
            return {"IfNoneMatch": "*"}
        except AccessDeniedError:
            return {}

    def _add(self, params: dict[str, Any], **_unused: Any) -> None:
        params.update(self._conditions.get((params["Bucket"], params["Key"]), {}))
