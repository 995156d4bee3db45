import os
import signal
from functools import partial

import pytest

from lipsync_cli.signals import Interrupted, interruptible


@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_interrupts_once_and_spares_the_cleanup(
    signum: signal.Signals, request: pytest.FixtureRequest
) -> None:
    # The process that started the suite may have made it ignore the signal, as nohup does.
    request.addfinalizer(partial(signal.signal, signum, signal.getsignal(signum)))
    before = signal.default_int_handler
    signal.signal(signum, before)
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
            is_at_work = True
            ignored = signal.getsignal(signal.SIGHUP)
    finally:
        signal.signal(signal.SIGHUP, before)
    assert is_at_work
    assert ignored is signal.SIG_IGN
