"""Callbacks: signed HTTP requests to a job's caller when the job has completed, failed or been cancelled.

The form is that of Standard Webhooks (standardwebhooks.com), for whose receivers there are libraries: the headers
`webhook-id`, `webhook-timestamp` and `webhook-signature`, the last one `v1,` and the base64 of HMAC-SHA256 over
ID.TIMESTAMP.BODY. A secret that begins with `whsec_` continues with the key in base64; any other is the key itself.

An event may arrive more than once, always with the same id. A receiver that answers 2xx has it. Any other answer, and
none within ten seconds, leads to another try, after 5, 10, 20 ... and at most 600 s, for an hour. 410 ends the tries.
"""

import base64
import binascii
import hashlib
import hmac
import json
import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from http import HTTPStatus
from uuid import UUID, uuid5

from lipsync_core.errors import LipSyncError, OptionError
from lipsync_service.errors import JobMissingError, UrlRefusedError
from lipsync_service.ledger.rows import JobState
from lipsync_service.result_facts import NO_FACTS, ResultFacts
from lipsync_service.settings import Settings
from lipsync_service.storage.address import AddressGuard
from lipsync_service.storage.http_client import HttpClient
from lipsync_service.storage.url import parse_url

PATIENCE = timedelta(hours=1)  # with a receiver, from the event on
TIMEOUT_S = 10.0  # of one try
_FIRST_DELAY_S, _LONGEST_DELAY_S = 5.0, 600.0
_JITTER = 0.2  # of a delay, either way, so that receivers that fail together are not all tried again together
_EVENTS = UUID("7d1c4a0e-6a0b-5a55-8a3e-3c9f2f6d7b10")  # any namespace, for ever the same
_ENCODED_KEY = "whsec_"

Jitter = Callable[[], float]  # 0..1


@dataclass(frozen=True, slots=True)
class JobOutcome:
    """The final outcome of one attempt of a job."""

    job_id: UUID
    attempt: int
    state: JobState  # completed, failed or cancelled
    created_at: datetime  # of the job
    ended_at: datetime
    started_at: datetime | None = None  # of the attempt
    error_code: str | None = None
    error_message: str | None = None

    @property
    def event(self) -> str:
        """The name of the event."""
        return f"job.{self.state}"

    @property
    def event_id(self) -> UUID:
        """The event's id: the same for every watcher that finds the outcome."""
        return uuid5(_EVENTS, f"{self.job_id}/{self.attempt}/{self.state}")


@dataclass(frozen=True, slots=True)
class Letter:
    """One event to send. The address may hold a signature, so `repr` does not show it."""

    event_id: UUID
    url: str
    body: bytes

    def __repr__(self) -> str:
        return f"Letter({self.event_id})"


@dataclass(frozen=True, slots=True)
class Reply:
    """The result of one try."""

    status: int | None = None  # of HTTP
    error_code: str | None = None  # where there was no answer

    @property
    def is_delivered(self) -> bool:
        """The receiver has accepted the event."""
        return self.status is not None and HTTPStatus.OK <= self.status < HTTPStatus.MULTIPLE_CHOICES

    @property
    def is_refused(self) -> bool:
        """Another try would end the same way."""
        return self.status == HTTPStatus.GONE or self.error_code in _FINAL_CODES


#: Codes of callbacks alone: the receiver sees neither.
NO_SECRET = "NO_SECRET"  # noqa: S105 - a code
NO_ADDRESS = "NO_ADDRESS"
_FINAL_CODES = frozenset({UrlRefusedError.code, JobMissingError.code, NO_SECRET, NO_ADDRESS})


def callback_body(
    outcome: JobOutcome, output: str | None, metadata: Mapping[str, str], facts: ResultFacts = NO_FACTS
) -> bytes:
    """The event as JSON.

    `output` is the result's address without its query, `metadata` the request's own labels, `facts` what the job has
    found out about its inputs and its result.
    """
    error = {"code": outcome.error_code, "message": outcome.error_message} if outcome.error_code else None
    times = {"created_at": outcome.created_at, "started_at": outcome.started_at, "ended_at": outcome.ended_at}
    said = {
        "event_id": str(outcome.event_id),
        "event": outcome.event,
        "job_id": str(outcome.job_id),
        "attempt": outcome.attempt,
        "state": outcome.state,
        "error": error,
        "output": output,
        **facts.as_json(),
        "metadata": dict(metadata),
        **{name: moment.isoformat() if moment else None for name, moment in times.items()},
    }
    return json.dumps(said, ensure_ascii=False, separators=(",", ":")).encode()


def signature(secret: str, event_id: str, timestamp: int, body: bytes) -> str:
    """The value of `webhook-signature`; `timestamp` in seconds since 1970.

    Raises:
        OptionError: the secret begins with whsec_ and does not continue in base64.
    """
    digest = hmac.digest(_key(secret), b".".join((event_id.encode(), str(timestamp).encode(), body)), hashlib.sha256)
    return f"v1,{base64.b64encode(digest).decode()}"


def next_try(created_at: datetime, now: datetime, tries: int, jitter: Jitter = random.random) -> datetime | None:
    """The time of the next try after `tries` tries; None where the receiver has had its hour."""
    delay_s = min(_LONGEST_DELAY_S, _FIRST_DELAY_S * 2.0 ** min(tries - 1, 30))
    moment = now + timedelta(seconds=delay_s * (1 - _JITTER + 2 * _JITTER * jitter()))
    return moment if moment <= created_at + PATIENCE else None


class CallbackSender:
    """Posts letters, to public addresses and to hosts that the settings allow; raises nothing, logs nothing."""

    def __init__(self, settings: Settings) -> None:
        secret = settings.callback_secret
        self._secret = secret.get_secret_value() if secret else None
        if self._secret is not None:
            _key(self._secret)
        guard = AddressGuard(settings.http_allowed_hosts, ports=settings.http_ports)
        self._http = HttpClient(guard, TIMEOUT_S, limit_s=TIMEOUT_S)

    def send(self, letter: Letter, now: datetime) -> Reply:
        """Try once."""
        if self._secret is None:
            return Reply(error_code=NO_SECRET)
        timestamp = int(now.timestamp())
        headers = {
            "Content-Type": "application/json",
            "webhook-id": str(letter.event_id),
            "webhook-timestamp": str(timestamp),
            "webhook-signature": signature(self._secret, str(letter.event_id), timestamp, letter.body),
        }
        try:
            with self._http.answer("POST", parse_url(letter.url), headers, letter.body) as answer:
                return Reply(status=answer.status)
        except LipSyncError as error:
            return Reply(error_code=error.code)


def _key(secret: str) -> bytes:
    if not secret.startswith(_ENCODED_KEY):
        return secret.encode()
    try:
        return base64.b64decode(secret.removeprefix(_ENCODED_KEY), validate=True)
    except (binascii.Error, ValueError) as exc:
        raise OptionError(
            "the callbacks' secret begins with whsec_ and does not continue in base64", "make a new one"
        ) from exc
