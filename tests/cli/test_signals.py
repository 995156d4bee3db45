import os
import signal

import pytest

from lipsync_cli.signals import Interrupted, interruptible


@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_interrupts_once_and_spares_the_cleanup(signum: signal.Signals) -> None:
    before = signal.getsignal(signum)
    is_clean = False
    with pytest.raises(Interrupted) as caught, interruptible():
        try:
            os.kill(os.getpid(), signum)
        finally:
            os.kill(os.getpid(), signum)
            os.kill(os.getpid(), signal.SIGINT)
            is_clean = True
    assert is_clean
    assert caught.value.exit_status == 128 + signum
    assert signal.getsignal(signum) is before


def test_a_signal_that_is_ignored_stays_ignored() -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with interruptible():
            os.kill(os.getpid(), signal.SIGHUP)
    finally:
        signal.signal(signal.SIGHUP, before)
