"""Ctrl-C as a request that the loop answers between two updates."""

import signal
import threading
import time
from collections.abc import Generator
from contextlib import contextmanager
from types import FrameType
from typing import final

SIGNALS = (signal.SIGINT, signal.SIGTERM)


@final
class Interrupt:
    """Whether someone asked the run to stop."""

    def __init__(self) -> None:
        self.requested = False
        self._since = 0.0

    def handle(self, number: int, frame: FrameType | None) -> None:
        """Note the request; ask a second time, a second later, to stop at once."""
        del frame
        # A terminal's Ctrl-C reaches a rank twice, from the terminal and from torchrun: that is one request.
        if self.requested and number == signal.SIGINT and time.monotonic() - self._since > 1.0:
            raise KeyboardInterrupt
        if not self.requested:
            self.requested, self._since = True, time.monotonic()


@contextmanager
def interruptible() -> Generator[Interrupt]:
    """Catch Ctrl-C and SIGTERM inside the block. Only the main thread can; in others nothing is caught."""
    interrupt = Interrupt()
    if threading.current_thread() is not threading.main_thread():
        yield interrupt
        return
    before = {number: signal.signal(number, interrupt.handle) for number in SIGNALS}
    try:
        yield interrupt
    finally:
        for number, handler in before.items():
            signal.signal(number, signal.SIG_DFL if handler is None else handler)
