"""Ctrl-C, SIGTERM and SIGHUP, made orderly: every `finally` runs, and a second Ctrl-C changes nothing.

`stop_signals` is for a loop that asks, `exit_on_signals` for work that has to be broken off. Signals are
a matter of the whole process, hence the module's one variable; both are for the main thread.
"""

from __future__ import annotations

import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

_STOPPING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_POLL_SECONDS = 0.05


class StopRequest:
    """Whether a signal has asked us to stop, and which."""

    def __init__(self) -> None:
        self.signal: signal.Signals | None = None

    def __bool__(self) -> bool:
        return self.signal is not None

    @property
    def exit_code(self) -> int:
        """The shell's code for the signal (130 for Ctrl-C); 0 when there was none."""
        return 128 + self.signal if self.signal else 0

    def wait(self, seconds: float) -> bool:
        """Sleep, but not longer than until a signal comes; True when one has come."""
        deadline = time.monotonic() + seconds
        while not self and (left := deadline - time.monotonic()) > 0:
            time.sleep(min(left, _POLL_SECONDS))
        return bool(self)


class _Critical:
    """How many sections are open that a signal must not break, and the signal that waits for them."""

    depth = 0
    waiting: signal.Signals | None = None


@contextmanager
def stop_signals() -> Iterator[StopRequest]:
    """Note SIGINT, SIGTERM and SIGHUP instead of dying of them."""
    request = StopRequest()

    def note(number: int, _frame: FrameType | None) -> None:
        request.signal = request.signal or signal.Signals(number)

    with _handled_by(note):
        yield request


@contextmanager
def exit_on_signals() -> Iterator[None]:
    """Turn the first SIGINT, SIGTERM or SIGHUP into SystemExit (128 + number) and ignore later ones."""
    request = StopRequest()

    def leave(number: int, _frame: FrameType | None) -> None:
        if request:
            return
        request.signal = signal.Signals(number)
        if _Critical.depth:
            _Critical.waiting = request.signal
        else:
            raise SystemExit(request.exit_code)

    with _handled_by(leave):
        yield


@contextmanager
def uninterrupted() -> Iterator[None]:
    """Hold back `exit_on_signals` while a process is being started and noted, or stopped."""
    _Critical.depth += 1
    try:
        yield
    finally:
        _Critical.depth -= 1
        if _Critical.depth == 0 and _Critical.waiting:
            number, _Critical.waiting = _Critical.waiting, None
            raise SystemExit(128 + number)


@contextmanager
def _handled_by(handler: Callable[[int, FrameType | None], None]) -> Iterator[None]:
    before = {number: signal.getsignal(number) for number in _STOPPING}
    if before[signal.SIGHUP] is signal.SIG_IGN:
        del before[signal.SIGHUP]  # nohup: the terminal may go, we stay
    for number in before:
        signal.signal(number, handler)
    try:
        yield
    finally:
        for number, old in before.items():
            signal.signal(number, old)
