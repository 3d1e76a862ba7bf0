"""Run chunks: claim, fetch, parse, land and complete, until nothing of the run's range is left to do.

One connection and one thread each, up to the mailbox's limit (the claim holds it exactly). A chunk commits on its
own, so a run that is killed loses at most the chunks in its threads. A chunk that failed and is due again within
the run's patience is claimed again by the same run.
"""

from __future__ import annotations

import contextlib
import dataclasses
import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TypeGuard, TypeVar

from chunk_sync.domain.categorize import categorize_exception
from chunk_sync.domain.chunks import ChunkOutcome, ChunkState, ClaimedChunk, LandedCounts
from chunk_sync.engine.connect import SourceOpener
from chunk_sync.engine.convert import Conversion
from chunk_sync.engine.landing import Landing
from chunk_sync.engine.memory import ByteGate, weight_of
from chunk_sync.engine.sources import Sources
from chunk_sync.engine.todo import BUSY_WAIT, Todo
from chunk_sync.engine.worker import Worker
from chunk_sync.errors import DatabaseUnavailable, ErrorCategory, ErrorScope, LeaseLost, ProviderError
from chunk_sync.mail.source import Source
from chunk_sync.settings import Settings
from chunk_sync.store import queue
from chunk_sync.store.database import Database
from chunk_sync.store.messages import known_sizes

_log = logging.getLogger(__name__)
_CLAIM_WINDOW = 64
_LOOK = 1.0
"""Seconds between two looks, while a chunk is fetched, whether it is still ours."""

T = TypeVar("T")
Report = Callable[[ChunkOutcome], None]


class _Stopped(Exception):
    """The run was cancelled while a chunk was being fetched."""


@dataclass(frozen=True, slots=True)
class TurnedAway:
    """The last failure that concerned a whole account: nothing of it can be claimed until then (monotonic seconds)."""

    error: ProviderError
    until: float

    def seconds(self) -> float:
        """How long it is to wait still."""
        return max(0.0, self.until - time.monotonic())


@dataclass(frozen=True, slots=True)
class Parts:
    """What a run works with."""

    database: Database
    settings: Settings
    open_mailbox: SourceOpener


class ChunkRun:
    """One run over a set of chunks. Call `process` once; what became of them is in its answer."""

    def __init__(self, parts: Parts, worker: Worker, chunk_ids: Iterable[int], report: Report | None = None) -> None:
        self._parts = parts
        self._worker = worker
        self._todo = Todo(list(chunk_ids))
        self._report = report
        self._outcomes: dict[int, ChunkOutcome] = {}
        self._lock = threading.Lock()
        self._stopping = threading.Event()
        self._patient = True
        self._away: TurnedAway | None = None
        self._conversion = Conversion.of(parts.settings)
        self._memory = ByteGate(parts.settings.bytes_in_flight)

    def claim(self, limit: int) -> list[ClaimedChunk]:
        """Claim the next due chunks of the run; [] when none is to be had right now."""
        with self._lock:
            wanted = self._todo.due(_CLAIM_WINDOW)
            if not wanted:
                return []
            claimed = self._patiently(lambda: queue.claim_chunks(self._parts.database, self._worker.id, wanted, limit))
            self._todo.drop(chunk.chunk_id for chunk in claimed)
            return claimed

    def process(self, first: Sequence[ClaimedChunk] = (), *, patient: bool = True) -> list[ChunkOutcome]:
        """Work through everything; returns the last outcome of each chunk, in the order of the keys.

        Without `patient` it returns as well when it was turned away and has nothing else to do: `turned_away` says
        for how long, and another call goes on. Raises LeaseLost when the worker's lease ran out: whatever was not
        finished is somebody else's.
        """
        self._patient = patient
        self._stopping.clear()
        waiting = deque(first)
        threads = self._parts.settings.run_threads
        with ThreadPoolExecutor(threads, thread_name_prefix="chunk") as pool:
            try:
                for future in [pool.submit(self._work, waiting) for _ in range(threads)]:
                    future.result()
            finally:
                self._stopping.set()  # cancelled or broken: the other threads stop at their next message
        return self.outcomes()

    def outcomes(self) -> list[ChunkOutcome]:
        """The last outcome of each chunk so far, in the order of the keys."""
        with self._lock:
            return sorted(self._outcomes.values(), key=lambda outcome: outcome.key)

    def turned_away(self) -> TurnedAway | None:
        """Tell why a call of `process` that was not patient came back with work left; None when it has none left."""
        with self._lock:
            left = not self._patient and self._away is not None and not self._todo.empty()
            return self._away if left else None

    def _work(self, waiting: deque[ClaimedChunk]) -> None:
        with Sources(self._parts.database, self._parts.open_mailbox) as sources:
            while chunk := self._next(waiting, sources):
                outcome = self._attempt(sources, chunk)
                if outcome is None:
                    return
                with self._lock:
                    self._outcomes[chunk.chunk_id] = outcome
                    self._todo.ended(outcome, self._parts.settings.patience_seconds)
                if self._report:
                    self._report(outcome)

    def _next(self, waiting: deque[ClaimedChunk], sources: Sources) -> ClaimedChunk | None:
        idle_since = time.monotonic()
        while not self._stopping.is_set():
            with contextlib.suppress(IndexError):
                return waiting.popleft()
            if claimed := self.claim(1):
                return claimed[0]
            pause = self._pause()
            if pause is None or time.monotonic() - idle_since > self._parts.settings.patience_seconds:
                return None
            if not self._patient and self._away is not None and self._away.seconds() > 0:
                return None
            sources.drop_all()  # a connection that waits counts as one with the provider
            self._worker.wait(pause)
        return None

    def _pause(self) -> float | None:
        """Seconds until it is worth looking again; None when others have taken or ended what was left."""
        patience = self._parts.settings.patience_seconds
        with self._lock:
            wanted = self._todo.due(_CLAIM_WINDOW)
            if wanted:
                kept = self._patiently(lambda: queue.pending_within(self._parts.database, wanted, patience))
                self._todo.drop(set(wanted) - set(kept))
            return self._todo.pause()

    def _patiently(self, ask: Callable[[], T]) -> T:
        """Ask the database again while it is away, as long as the lease can still be ours."""
        while True:
            self._worker.check()
            try:
                return ask()
            except DatabaseUnavailable as error:
                _log.warning("%s", error)
                self._worker.wait(BUSY_WAIT)

    def _attempt(self, sources: Sources, chunk: ClaimedChunk) -> ChunkOutcome | None:
        """Process one chunk and record a failure; None when the run was stopped: the worker gives it back."""
        started, before = time.monotonic(), sources.requests(chunk.mailbox_id)

        def asked() -> int:
            return sources.requests(chunk.mailbox_id) - before

        try:
            return self._process(sources.of(chunk.mailbox_id), chunk, started, asked)
        except _Stopped:
            return None
        except LeaseLost as error:
            self._worker.check()  # the worker's own lease: the whole run ends here
            return _outcome(chunk, ChunkState.LOST, started, reason=str(error))
        except Exception as error:  # noqa: BLE001 - the one place that records a failed attempt
            sources.drop(chunk.mailbox_id)
            if _is_turned_away(error):
                outcome = self._throttled(error, chunk, started)
            else:
                outcome = self._failed(chunk, error, started, asked())
            self._note_turned_away(error, outcome)
            return outcome

    def _note_turned_away(self, error: Exception, outcome: ChunkOutcome) -> None:
        if not isinstance(error, ProviderError) or error.scope is not ErrorScope.ACCOUNT:
            return
        if outcome.seconds_to_next is not None:
            self._away = TurnedAway(error, time.monotonic() + outcome.seconds_to_next)

    def _process(self, source: Source, chunk: ClaimedChunk, started: float, asked: Callable[[], int]) -> ChunkOutcome:
        database = self._parts.database
        by_uid = chunk.span.provider_ids is None
        known = self._patiently(lambda: known_sizes(database, chunk)) if by_uid else {}
        landing = Landing(database, chunk, known, self._conversion, self._patiently, started, asked)
        looked = started
        with self._memory.hold(weight_of(chunk)):
            try:
                for message in source.fetch(chunk.span, known, eager=chunk.attempt == 1):
                    self._worker.check()
                    if self._stopping.is_set():
                        raise _Stopped
                    if time.monotonic() - looked > _LOOK:
                        looked = time.monotonic()
                        self._check_held(chunk)
                    landing.take(message)
            except ProviderError:
                landing.keep()  # what had arrived whole stays: the next attempt fetches the rest
                raise
            return _outcome(chunk, ChunkState.COMPLETED, started, counts=landing.complete())

    def _check_held(self, chunk: ClaimedChunk) -> None:
        """Raise LeaseLost when somebody has cancelled, paused or reset the chunk; no answer is no reason to stop."""
        with contextlib.suppress(DatabaseUnavailable):
            if not queue.is_held(self._parts.database, chunk):
                message = f"chunk {chunk.key} was stopped or given to another worker"
                raise LeaseLost(message)

    def _throttled(self, error: ProviderError, chunk: ClaimedChunk, started: float) -> ChunkOutcome:
        """The provider would not let us begin: the chunk waits without having used an attempt."""
        answer = self._patiently(lambda: queue.throttle_chunk(self._parts.database, chunk, error.retry_after))
        return dataclasses.replace(
            _outcome(chunk, ChunkState.RETRY, started, reason=str(error)),
            category=error.category,
            next_attempt_at=answer.next_attempt_at,
            seconds_to_next=answer.seconds_to_next,
        )

    def _failed(self, chunk: ClaimedChunk, error: Exception, started: float, requests: int) -> ChunkOutcome:
        category = categorize_exception(error)
        provider = error if isinstance(error, ProviderError) else None
        account = provider is not None and provider.scope is ErrorScope.ACCOUNT
        reason = str(error) or type(error).__name__
        _log.info("chunk %s attempt %d failed: %s: %s", chunk.key, chunk.attempt, category, type(error).__name__)
        try:
            answer = self._patiently(
                lambda: queue.fail_chunk(
                    self._parts.database,
                    chunk,
                    category=category,
                    message=reason,
                    code=provider.code if provider else type(error).__name__,
                    retry_after=provider.retry_after if provider else None,
                    account_scope=account,
                    duration_ms=_ms(started),
                    requests=requests,
                )
            )
        except LeaseLost as lost:
            self._worker.check()
            return _outcome(chunk, ChunkState.LOST, started, reason=str(lost))
        state = ChunkState.FAILED if answer.next_attempt_at is None else ChunkState.RETRY
        return dataclasses.replace(
            _outcome(chunk, state, started, reason=reason),
            category=category,
            next_attempt_at=answer.next_attempt_at,
            seconds_to_next=answer.seconds_to_next,
        )


def _is_turned_away(error: Exception) -> TypeGuard[ProviderError]:
    """Say whether the provider throttles before it has let us do anything: no attempt is used up by that."""
    return isinstance(error, ProviderError) and error.at_the_door and error.category is ErrorCategory.RATE_LIMIT


def _outcome(
    chunk: ClaimedChunk,
    state: ChunkState,
    started: float,
    *,
    counts: LandedCounts | None = None,
    reason: str | None = None,
) -> ChunkOutcome:
    return ChunkOutcome(
        chunk_id=chunk.chunk_id,
        key=chunk.key,
        attempt=chunk.attempt,
        state=state,
        duration_ms=_ms(started),
        counts=counts,
        reason=reason,
    )


def _ms(started: float) -> int:
    return int((time.monotonic() - started) * 1000)
