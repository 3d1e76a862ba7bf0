"""What all measurements share: where things are, and what one of them found."""

from __future__ import annotations

import os
import statistics
import sys
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.mail.corpus import Corpus, pid_of
from chunk_sync_tests.servers.dovecot import DovecotServer

SLICE = 200
"""Messages of a pull behind a long line by those who ask for one at a time."""


@dataclass(frozen=True)
class Bench:
    """One mailbox and the line to it: `port` is Dovecot's, or the delay proxy's; `delay` in milliseconds.

    What is in `work` goes away with it.
    """

    corpus: Corpus
    imap: DovecotServer
    port: int
    delay: float
    work: Path
    cache: Path
    dlt_source: Path | None

    @property
    def address(self) -> str:
        """The mailbox as chunk_sync spells it."""
        return f"imap://{self.imap.user}@{self.imap.host}:{self.port}/"

    @property
    def secret(self) -> Path:
        """The file with the password."""
        path = self.work / "secret"
        if not path.exists():
            path.touch(mode=0o600)
            path.write_text(self.imap.password)
        return path

    def job(self, verb: str, dsn: str = "", **fields: object) -> dict[str, Any]:
        """Write a program's first line."""
        login = {"host": self.imap.host, "port": self.port, "user": self.imap.user, "password": self.imap.password}
        return {"verb": verb, "dsn": dsn, **login, **fields}

    @property
    def imap_pid(self) -> int:
        """Dovecot's first process."""
        return pid_of(self.imap)


@dataclass(frozen=True, slots=True)
class Pull:
    """One pull of a mailbox: `cpu` in seconds by whom, `seconds` from the word go to the last message.

    `whole` is what a sync took from its request to the end of its job, `seconds` then from its first claim to its last
    completion; `attempts` the sum of its chunks' seconds, `stages` the parts of that.
    """

    seconds: float
    messages: int
    bytes: int
    cpu: dict[str, float]
    peak_mb: float
    whole: float | None = None
    before: float | None = None
    attempts: float = 0.0
    stages: dict[str, float] = field(default_factory=dict[str, float])
    note: str = ""

    @property
    def rate(self) -> float:
        """Messages a second."""
        return self.messages / self.seconds

    @property
    def whole_rate(self) -> float:
        """Messages a second, all waiting for sensors and starting processes included."""
        return self.messages / (self.whole or self.seconds)

    @property
    def megabytes(self) -> float:
        """Megabytes a second."""
        return self.bytes / self.seconds / 1e6

    @property
    def busy(self) -> float:
        """The share of the machine's cores that worked for it meanwhile."""
        return sum(self.cpu.values()) / (self.whole or self.seconds) / (os.cpu_count() or 1)

    def stage_share(self, name: str) -> float | None:
        """Tell the part of all chunks' time that went into a stage."""
        return self.stages.get(name, 0.0) / self.attempts if self.attempts else None


@dataclass
class Figures:
    """All pulls by subject, and why some failed."""

    pulls: dict[str, list[Pull]] = field(default_factory=lambda: defaultdict(list))
    failures: dict[str, str] = field(default_factory=dict[str, str])

    def median(self, subject: str, what: str) -> float | None:
        """Give the median of one of a pull's numbers."""
        found = [value for pull in self.pulls.get(subject, ()) if (value := getattr(pull, what)) is not None]
        return statistics.median(found) if found else None

    def middle(self, subject: str) -> Pull | None:
        """Give the pull of median rate; of two the slower."""
        found = sorted(self.pulls.get(subject, ()), key=lambda pull: pull.rate)
        return found[(len(found) - 1) // 2] if found else None

    def best_of(self, subjects: Sequence[str]) -> str | None:
        """Name the subject with the highest median rate."""
        rates = {name: rate for name in subjects if (rate := self.median(name, "rate")) is not None}
        return max(rates, key=lambda name: rates[name]) if rates else None


def python(module: str) -> list[str]:
    """Write the command that runs one of our programs."""
    return [sys.executable, "-m", f"benchmarks.mail.{module}"]
