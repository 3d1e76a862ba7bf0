"""The dead-man's switch: it alarms when nobody looks at alerts any more, and when the database is out of reach.

It needs neither Dagster nor the daemon, and of the database nothing while that is gone: what it told is in a file.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

from chunk_sync.alerts.decide import decide
from chunk_sync.alerts.evaluate import Outcome, Reveal, deliver
from chunk_sync.alerts.message import Message, revival, silence, spell
from chunk_sync.domain.alerts import SILENT, Changes, Key, Signal, State
from chunk_sync.store import alerts
from chunk_sync.store.database import DATABASE_ERRORS, Database

LOOK_SECONDS = 60.0
"""A database that takes longer does not answer."""

Tell = Callable[[Message], str | None]
"""Sends a message without the database; returns why it did not arrive."""


@dataclass(frozen=True, slots=True)
class Found:
    """What a look found: seconds since the last sign of life, or why the database does not say."""

    age: float | None
    trouble: str | None = None
    outcome: Outcome | None = None


@dataclass(frozen=True, slots=True)
class Verdict:
    """How it stands: whether it is dead, since when, what was said now, and why that did not arrive."""

    dead: bool
    alive_at: datetime
    found: Found
    said: Message | None = None
    error: str | None = None


@dataclass(frozen=True, slots=True)
class _Memory:
    alive_at: datetime
    told_since: datetime | None = None  # what the last alarm said, while it is not taken back


def look_at(dsn: Callable[[], str], reveal: Reveal, after: timedelta) -> Found:
    """Ask the database for the last sign of life; when that is too old, or no longer is, its routes are told."""
    try:
        with Database(dsn(), pool_size=1, application="chunk_sync deadman") as database:
            age = alerts.pulse_age(database)
            alerts.look_for(database, SILENT, _seen(age, after), _decide_at_once)
            return Found(age, outcome=deliver(database, reveal, only=SILENT))
    except (*DATABASE_ERRORS, OSError) as error:
        return Found(None, (str(error).strip() or type(error).__name__).splitlines()[0])


class Watch:
    """Looks, and tells once when there is no sign of life for `after`, and once when there is one again.

    A look that hangs counts as no answer, and no other is begun meanwhile.
    """

    def __init__(
        self, look: Callable[[], Found], tell: Tell, *, after: timedelta, memory: Path, seconds: float = LOOK_SECONDS
    ) -> None:
        self._look = look
        self._tell = tell
        self._after = after
        self._path = memory
        self._seconds = seconds
        self._thread: threading.Thread | None = None
        self._answers: list[Found] = []

    def check(self, now: datetime) -> Verdict:
        """Look once, and tell what changed; what did not arrive is tried again at the next check."""
        found = self._find()
        memory = self._read() or _Memory(now)
        alive_at = memory.alive_at if found.age is None else now - timedelta(seconds=found.age)
        dead = now - alive_at > self._after
        said = error = None
        told_since = memory.told_since
        if dead and told_since is None:
            said, told_since = silence(alive_at, now, found.trouble), alive_at
        elif not dead and told_since is not None:
            said, told_since = revival(told_since, now), None
        if said is not None and (error := self._tell(said)) is not None:
            told_since = memory.told_since
        self._write(_Memory(alive_at, told_since))
        return Verdict(dead, alive_at, found, said, error)

    def _find(self) -> Found:
        if self._thread is None or not self._thread.is_alive():
            self._answers = []
            self._thread = threading.Thread(target=lambda: self._answers.append(self._look()), daemon=True)
            self._thread.start()
        self._thread.join(self._seconds)
        if self._answers:
            return self._answers[0]
        return Found(None, f"no answer within {self._seconds:g} s")

    def _read(self) -> _Memory | None:
        try:
            kept = json.loads(self._path.read_text(encoding="utf-8"))
            since = kept["told_since"]
            return _Memory(datetime.fromisoformat(kept["alive_at"]), since and datetime.fromisoformat(since))
        except (OSError, ValueError, KeyError, TypeError):
            return None

    def _write(self, memory: _Memory) -> None:
        since = memory.told_since
        kept = {"alive_at": memory.alive_at.isoformat(), "told_since": since and since.isoformat()}
        new = self._path.with_suffix(".new")
        new.write_text(json.dumps(kept), encoding="utf-8")
        new.replace(self._path)


def _seen(age: float, after: timedelta) -> list[Signal]:
    if age <= after.total_seconds():
        return []
    text = f"no sign of life for {spell(timedelta(seconds=age))} (more than {spell(after)})"
    return [Signal(Key(SILENT, None, ""), "critical", age, after.total_seconds(), text)]


def _decide_at_once(state: State) -> Changes:
    """One sign of life is enough: this signal does not flap."""
    return decide(state, quiet=timedelta())
