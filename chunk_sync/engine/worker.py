"""A worker: one run's lease on all the chunks that it holds, kept alive by a thread of its own."""

from __future__ import annotations

import contextlib
import logging
import threading
import time
from typing import Self

from chunk_sync.errors import LeaseLost
from chunk_sync.store import queue
from chunk_sync.store.database import DATABASE_ERRORS, Database

_log = logging.getLogger(__name__)
_FENCE_AT = 0.8
"""A worker that could not renew for this part of its lease stops by itself."""


class Worker:
    """Holds a lease while it is open: `with Worker(...) as worker`. Threads of the run share it.

    Leaving it gives back whatever is still claimed, without using an attempt.
    """

    def __init__(self, database: Database, name: str, lease_seconds: float, run_id: str | None = None) -> None:
        self._database = database
        self._lease = lease_seconds
        self._renewed = time.monotonic()
        self._ended = threading.Event()
        self._refused = False
        self.name = name
        self.id = queue.open_worker(database, name, lease_seconds, run_id)
        self._thread = threading.Thread(target=self._beat, name=f"heartbeat-{self.id}", daemon=True)

    def check(self) -> None:
        """Raise LeaseLost when the lease has run out, or will before anything could be written."""
        if self._refused or time.monotonic() - self._renewed > self._lease * _FENCE_AT:
            message = f"worker {self.name} could not renew its lease"
            raise LeaseLost(message)

    def wait(self, seconds: float) -> None:
        """Sleep while the lease is held; raises LeaseLost when it is not."""
        until = time.monotonic() + seconds
        while (left := until - time.monotonic()) > 0:
            self.check()
            self._ended.wait(min(left, 0.5))

    def _beat(self) -> None:
        while not self._ended.wait(self._lease / 3):
            asked = time.monotonic()
            try:
                alive = queue.heartbeat(self._database, self.id, self._lease)
            except DATABASE_ERRORS as error:
                _log.warning("heartbeat of worker %s failed: %s", self.id, error)
                continue
            if not alive:
                self._refused = True
                return
            self._renewed = asked

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self._ended.set()
        self._thread.join(timeout=self._lease)
        # When the database is away, the lease runs out by itself and the sweep gives the chunks back.
        with contextlib.suppress(*DATABASE_ERRORS):
            queue.close_worker(self._database, self.id)
