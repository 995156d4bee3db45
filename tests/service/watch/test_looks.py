"""The watcher looks for ended runs when it hears of one, and by itself while it hears nothing."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

pytest.importorskip("websockets", reason="the extra service is not installed")

from lipsync_service.watch.looks import Looks

NOW = datetime(2026, 3, 1, tzinfo=UTC)


class HandEvents:
    """A stream in the hands of a test."""

    def __init__(self) -> None:
        self.is_open, self.is_news = True, False

    def wait(self, _: float) -> bool:
        return self.is_news

    def close(self) -> None:
        """Nothing."""


def after(seconds: float) -> datetime:
    return NOW + timedelta(seconds=seconds)


def looked(events: Any, is_settled: bool = True) -> Looks:
    looks = Looks(events)
    assert looks.are_due(NOW)  # the first round looks
    looks.looked(NOW, is_settled)
    return looks


def test_a_look_without_news_is_followed_by_one_a_while_later() -> None:
    looks = looked(HandEvents())
    looks.wait(1, NOW)
    assert not looks.are_due(after(1))
    assert looks.are_due(after(10))


def test_news_are_looked_at_at_once_and_again_until_the_server_answers_with_them() -> None:
    events = HandEvents()
    looks = looked(events)
    events.is_news = True
    looks.wait(1, NOW)
    assert looks.are_due(after(0.1))
    looks.looked(after(0.1), is_settled=True)
    assert looks.are_due(after(1.5))
    assert not looks.are_due(after(5))


def test_every_round_looks_while_the_stream_is_closed_or_a_crash_is_not_settled() -> None:
    events = HandEvents()
    looks = looked(events)
    events.is_open = False
    assert looks.are_due(after(1))
    assert looked(HandEvents(), is_settled=False).are_due(after(1))
