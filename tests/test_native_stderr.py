"""Lines of native libraries are held back from standard error, and all others arrive."""

import os
from threading import Event, Thread

import pytest

from lipsync_core.native_stderr import held_stderr


def test_only_the_chosen_lines_are_held(capfd: pytest.CaptureFixture[str]) -> None:
    with held_stderr(lambda line: line.startswith("noise")) as held:
        os.write(2, b"noise 1\nnews\nnoise 2\n")
    assert held == ["noise 1\n", "noise 2\n"]
    assert capfd.readouterr().err == "news\n"


def test_standard_error_survives_when_a_second_thread_holds_it_before_the_first_ends(
    capfd: pytest.CaptureFixture[str],
) -> None:
    first_is_in, second_is_in, first_is_out = Event(), Event(), Event()

    def hold_second() -> None:
        first_is_in.wait(10)
        with held_stderr(lambda _: True):
            second_is_in.set()
            first_is_out.wait(10)

    second = Thread(target=hold_second)
    second.start()
    with held_stderr(lambda _: True):
        first_is_in.set()
        second_is_in.wait(0.2)  # in vain, where the second waits its turn
    first_is_out.set()
    second.join(10)
    os.write(2, b"news\n")
    assert capfd.readouterr().err == "news\n"
