"""The channel between two threads: order, bounds, and no thread waits for ever."""

import threading

import pytest

from tasks.channel import Channel, ChannelClosedError


def sent_by_thread(channel: Channel[int], count: int, error: Exception | None = None) -> threading.Thread:
    def send() -> None:
        for number in range(count):
            channel.send(number)
        channel.finish(error)

    thread = threading.Thread(target=send, daemon=True)
    thread.start()
    return thread


def test_everything_arrives_in_order_through_a_small_channel() -> None:
    channel = Channel[int](capacity=2)
    thread = sent_by_thread(channel, 100)
    assert list(channel) == list(range(100))
    thread.join(5)
    assert not thread.is_alive()


def test_the_sender_is_never_further_ahead_than_the_capacity() -> None:
    channel = Channel[int](capacity=3)
    sent = 0

    def send() -> None:
        nonlocal sent
        for number in range(20):
            channel.send(number)
            sent = number + 1
        channel.finish()

    thread = threading.Thread(target=send, daemon=True)
    thread.start()
    for number in channel:
        assert sent <= number + 1 + 3 + 1  # received, queued, and the one that waits for room
    thread.join(5)


def test_the_receiver_fails_when_the_sender_breaks_off_after_what_was_sent() -> None:
    channel = Channel[int](capacity=8)
    sent_by_thread(channel, 3, ValueError("broke off"))
    received = []

    def receive() -> None:
        for number in channel:
            received.append(number)

    with pytest.raises(ValueError, match="broke off"):
        receive()
    assert received == [0, 1, 2]


def test_the_sender_fails_when_the_receiver_has_gone() -> None:
    channel = Channel[int](capacity=1)
    channel.send(0)
    stopped = threading.Event()

    def send() -> None:
        try:
            channel.send(1)
        except ChannelClosedError:
            stopped.set()

    thread = threading.Thread(target=send, daemon=True)
    thread.start()
    channel.close()
    thread.join(5)
    assert stopped.is_set()
