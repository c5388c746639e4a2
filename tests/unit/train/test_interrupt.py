import os
import signal
import threading

import pytest

from everlong.train import interrupt
from everlong.train.interrupt import interruptible


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_is_a_request(number: signal.Signals) -> None:
    with interruptible() as request:
        assert not request.requested
        os.kill(os.getpid(), number)
        assert request.requested
        os.kill(os.getpid(), number)


def test_a_second_ctrl_c_a_second_later_stops_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 0.0
    monkeypatch.setattr(interrupt.time, "monotonic", lambda: now)
    with interruptible():
        os.kill(os.getpid(), signal.SIGINT)
        now = 2.0
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), signal.SIGINT)


def test_handlers_come_back() -> None:
    before = signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)
    with interruptible():
        assert signal.getsignal(signal.SIGINT) != before[0]
    assert (signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)) == before


def test_in_another_thread_nothing_is_caught() -> None:
    before, seen = signal.getsignal(signal.SIGINT), []

    def look() -> None:
        with interruptible() as request:
            seen.append((signal.getsignal(signal.SIGINT), request.requested))

    thread = threading.Thread(target=look)
    thread.start()
    thread.join()
    assert seen == [(before, False)]
