"""Commands that run until a signal comes, and a database that goes away and comes back."""

from __future__ import annotations

import queue
import re
import signal
import subprocess
import threading
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from psycopg import sql
from sqlalchemy.engine import make_url

from chunk_sync.settings import HOME, PROJECT_ROOT, environment
from chunk_sync.store.database import Database
from chunk_sync_tests.e2e.installation import COMMAND
from chunk_sync_tests.postgres_plugin import PgServer

PLAIN = {"TZ": "UTC", "PYTHONUNBUFFERED": "1"}


class Running:
    """A command as a process, and its lines as they come."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process = process
        self._lines: queue.Queue[str] = queue.Queue()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def line(self, wanted: Callable[[str], object] = lambda _: True, seconds: float = 60) -> str:
        """The next line, or the next one that is wanted; fails when none comes in time."""
        while not wanted(line := self._lines.get(timeout=seconds)):
            pass
        return line

    def end(self, number: signal.Signals | None = signal.SIGINT) -> tuple[int, list[str]]:
        """Send a signal, if one is given, and wait; the exit code, and the lines that were left."""
        if number is not None:
            self.process.send_signal(number)
        code = self.process.wait(60)
        self._reader.join()
        return code, list(self._lines.queue)

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self._lines.put(line.rstrip("\n"))


@contextmanager
def running(database: Database, home: Path, *words: str, variables: Mapping[str, str] = PLAIN) -> Iterator[Running]:
    """Run a command on a database."""
    with subprocess.Popen(
        [*COMMAND, *words],
        env=environment() | {HOME: str(home), "CHUNK_SYNC_DSN": database.dsn} | dict(variables),
        cwd=PROJECT_ROOT,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as process:
        try:
            yield Running(process)
        finally:
            process.kill()


def address(command: Running) -> str:
    """Where `metrics` serves, once it says so."""
    found = re.search(r"http://[^/ ]+", command.line(lambda line: "numbers for Prometheus at" in line))
    assert found
    return found[0]


def get(url: str, accept: str = "") -> str:
    """Ask a server."""
    with urllib.request.urlopen(urllib.request.Request(url, headers={"Accept": accept}), timeout=60) as answer:
        return answer.read().decode()


@contextmanager
def gone(pg_server: PgServer, database: Database) -> Iterator[None]:
    """Have the database away while inside, with whoever was connected."""
    database.close()
    name = make_url(database.dsn).database or ""
    away = sql.SQL("ALTER DATABASE {} WITH ALLOW_CONNECTIONS {}")
    pg_server.admin.execute(away.format(sql.Identifier(name), sql.SQL("false")))
    pg_server.admin.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s", [name])
    try:
        yield
    finally:
        pg_server.admin.execute(away.format(sql.Identifier(name), sql.SQL("true")))
