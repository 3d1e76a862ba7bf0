"""`listen` as a user meets it: what it prints, that it ends with a signal, and its exit codes."""

from __future__ import annotations

import queue
import signal
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import pytest

from chunk_sync.settings import HOME, PROJECT_ROOT, environment
from chunk_sync.store.database import Database
from chunk_sync.store.mailboxes import add_mailbox, request_sync
from chunk_sync_tests.e2e.installation import COMMAND, run_cli
from chunk_sync_tests.factory import make_mailbox
from chunk_sync_tests.servers.pymap import PymapServer

SECRET = {"PW": "open-sesame-42"}


def connect(database: Database, server: PymapServer, name: str = "ann") -> None:
    """Add the server's mailbox, whose first sync has completed."""
    add_mailbox(database, name=name, address=server.address, provider="imap", credential="env:PW")
    job = request_sync(database, name).job_id
    complete(database, job)


def complete(database: Database, job: int) -> None:
    """Say that a job has completed."""
    database.execute("UPDATE sync_jobs SET status = 'completed', completed_at = clock() WHERE id = %s", (job,))


class Running:
    """The command as a process, and its lines as they come."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process = process
        self._lines: queue.Queue[str] = queue.Queue()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def line(self, seconds: float = 30) -> str:
        """The next line; fails when none comes in time."""
        return self._lines.get(timeout=seconds)

    def end(self) -> list[str]:
        """Wait for its end; the lines that were left."""
        self.process.wait(30)
        self._reader.join()
        return list(self._lines.queue)

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self._lines.put(line.rstrip("\n"))


@contextmanager
def listen(database: Database, home: Path, *words: str, **variables: str) -> Iterator[Running]:
    """Run `listen`."""
    with subprocess.Popen(
        [*COMMAND, "listen", *words],
        env=environment() | {HOME: str(home), "CHUNK_SYNC_DSN": database.dsn} | (variables or SECRET),
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


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_it_asks_as_mail_arrives_until_a_signal_comes(
    database: Database, pymap_server: PymapServer, tmp_path: Path, number: signal.Signals
) -> None:
    """A line a sync that it asks for; it ends with the signal, at once and with exit code 0."""
    connect(database, pymap_server)
    with listen(database, tmp_path, "--every", "0.1") as running:
        assert "ann: listening by IDLE" == running.line()
        assert "ann: asked for sync job 2" == running.line()
        complete(database, 2)
        with pymap_server.client() as other:
            other.append("INBOX", b"Subject: hidden\r\n\r\nx\r\n", datetime.now(UTC))
        assert "ann: asked for sync job 3" == running.line()
        began = time.monotonic()
        running.process.send_signal(number)
        assert (["stopping"], 0) == (running.end(), running.process.returncode)
        assert time.monotonic() - began < 5
    rows = database.execute("SELECT sync_type::text, requested_by FROM sync_jobs WHERE id > 1")
    assert [("incremental", "listen")] * 2 == [tuple(row.values()) for row in rows]


def test_when_no_login_is_accepted_it_ends(database: Database, pymap_server: PymapServer, tmp_path: Path) -> None:
    """One line for each mailbox, and exit code 1; the password is in no line."""
    connect(database, pymap_server)
    connect(database, pymap_server, "bob")
    with listen(database, tmp_path, PW="not-this-one") as running:
        lines = running.end()
    assert 1 == running.process.returncode
    assert ["ann", "bob"] == sorted(line.partition(":")[0] for line in lines if "did not accept the login" in line)
    assert (3, "no mailbox is left to listen to") == (len(lines), lines[-1])
    assert "not-this-one" not in str(lines)


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ([], "tenant 'default' has no IMAP mailbox: add one with `./chunk-sync mailbox add`"),
        (["box"], "only IMAP mailboxes do: leave out box"),
        (["nope"], "no mailbox 'nope'"),
        (["--tenant", "acme"], "tenant 'acme' has no IMAP mailbox"),
    ],
)
def test_mistakes_get_one_clear_line(database: Database, tmp_path: Path, words: list[str], expected: str) -> None:
    """An archive tells nothing by itself, and a mailbox that is not there neither."""
    make_mailbox(database)
    done = run_cli(tmp_path, "listen", *words, variables={"CHUNK_SYNC_DSN": database.dsn})
    assert (2, "", True) == (done.returncode, done.stdout, expected in done.stderr)
    assert 1 == len(done.stderr.splitlines())
