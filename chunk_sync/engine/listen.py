"""Listen to mailboxes and ask for a sync when something happens in one, sooner than somebody would ask.

A matter of latency and of nothing else: whatever is not heard is found by the next sync all the same.
"""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable, Iterable
from typing import Self

from chunk_sync.engine.credentials import reveal
from chunk_sync.errors import ErrorCategory, ProviderError, UsageError
from chunk_sync.mail.address import parse_address
from chunk_sync.mail.connect import make_listener
from chunk_sync.mail.imap_listen import ImapListener, ListenTimes
from chunk_sync.settings import Settings
from chunk_sync.store.database import DATABASE_ERRORS, Database
from chunk_sync.store.hints import hint_change
from chunk_sync.store.mailboxes import Mailbox

ListenerMaker = Callable[[Mailbox], ImapListener]
Report = Callable[[str], None]

_TICK = 0.5
_STOP_SECONDS = 0.7
_STEADY_SECONDS = 60.0
"""A connection that lasted so long was a good one: the next wait is short again."""
_FIRST_WAIT = 2.0
_LONGEST_WAIT = 300.0
_HOPELESS = frozenset({ErrorCategory.AUTH, ErrorCategory.PERMISSION})


def listener_maker(settings: Settings, *, renew: float, poll: float) -> ListenerMaker:
    """Give the function that makes a mailbox's listener; it raises ProviderError when the password cannot be had."""
    times = ListenTimes(settings.source_timeout_seconds, renew, poll)

    def make(mailbox: Mailbox) -> ImapListener:
        password = reveal(mailbox.credential, settings)
        return make_listener(parse_address(mailbox.address), password, times, mailbox.folders)

    return make


def wait_before(attempt: int, retry_after: float | None, draw: float) -> float:
    """Say how many seconds to wait before connecting again: up to twice as many each time, never fewer than asked for.

    `attempt` counts from 0; `draw` from 0 to 1 spreads those who were cut off together.
    """
    return max(draw * min(_LONGEST_WAIT, _FIRST_WAIT * 2 ** min(attempt, 16)), retry_after or 0.0)


class Listening:
    """A thread a mailbox, from entering to leaving: `with Listening(...) as listening`.

    Two hints of a mailbox are `every` seconds apart. `report` gets a line for whatever a person may want to know,
    from any thread; it must not raise.
    """

    def __init__(
        self, database: Database, mailboxes: Iterable[Mailbox], make: ListenerMaker, *, every: float, report: Report
    ) -> None:
        self._ended = threading.Event()
        ears = [_Ear(database, mailbox, make, every, report, self._ended) for mailbox in mailboxes]
        # Daemons: one that is waiting for a server's first word must not keep the process.
        self._threads = [threading.Thread(target=ear.listen, name=f"listen-{ear.name}", daemon=True) for ear in ears]

    @property
    def is_alive(self) -> bool:
        """Say whether any mailbox is listened to, or will be again."""
        return any(thread.is_alive() for thread in self._threads)

    def __enter__(self) -> Self:
        """Begin."""
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *exc: object) -> None:
        """End within a second."""
        self._ended.set()
        deadline = time.monotonic() + _STOP_SECONDS
        for thread in self._threads:
            thread.join(max(0.0, deadline - time.monotonic()))


class _Ear:
    """One mailbox's thread."""

    def __init__(
        self,
        database: Database,
        mailbox: Mailbox,
        make: ListenerMaker,
        every: float,
        report: Report,
        ended: threading.Event,
    ) -> None:
        self.name = mailbox.name
        self._database = database
        self._mailbox = mailbox
        self._make = make
        self._every = every
        self._say = report
        self._ended = ended
        self._due: float | None = None
        self._hinted_at = -every
        self._told_unwanted = False

    def listen(self) -> None:
        """Listen until it is over, connecting again after each cut."""
        attempt = 0
        while not self._ended.is_set():
            began = time.monotonic()
            try:
                with self._make(self._mailbox) as listener:
                    self._attend(listener)
            except ProviderError as error:
                if error.category in _HOPELESS:
                    self._report(f"{error}; it is not listened to any more")
                    return
                attempt = 0 if time.monotonic() - began > _STEADY_SECONDS else attempt
                seconds = wait_before(attempt, error.retry_after, random.random())  # noqa: S311 - no secret
                attempt += 1
                self._report(f"{error}; connecting again in {seconds:.1f} s")
                self._ended.wait(seconds)
            except UsageError as error:
                self._report(f"{error}; it is not listened to any more")
                return

    def _attend(self, listener: ImapListener) -> None:
        self._report(f"listening by {listener.open()}")
        self._heard()  # nobody has listened until now
        while not self._ended.is_set():
            left = _TICK if self._due is None else self._due - time.monotonic()
            if left <= 0:
                self._hint()
            elif listener.wait(min(left, _TICK)):
                self._heard()

    def _heard(self) -> None:
        if self._due is None:
            self._due = self._hinted_at + self._every

    def _hint(self) -> None:
        self._due, self._hinted_at = None, time.monotonic()
        try:
            outcome = hint_change(self._database, self._mailbox, hinted_by="listen")
        except DATABASE_ERRORS as error:
            self._heard()  # not lost: said again
            self._report(f"no sync could be asked for: {str(error).splitlines()[0]}")
            return
        if outcome.job_id is not None:
            self._report(f"asked for sync job {outcome.job_id}")
        elif not outcome.is_wanted and not self._told_unwanted:
            self._told_unwanted = True
            self._report(f"has not been synced yet, so nothing is asked for: ./chunk-sync sync {self.name}")

    def _report(self, text: str) -> None:
        if not self._ended.is_set():
            self._say(f"{self.name}: {text}")
