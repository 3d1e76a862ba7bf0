"""`listen` as a user meets it: what it prints, that it ends with a signal, and its exit codes."""

from __future__ import annotations

import signal
from datetime import UTC, datetime
from pathlib import Path

import pytest

from chunk_sync.store.database import Database
from chunk_sync.store.mailboxes import add_mailbox, request_sync
from chunk_sync_tests.cli.monitor import running
from chunk_sync_tests.cli.warm import run_warm
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


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_it_asks_as_mail_arrives_until_a_signal_comes(
    database: Database, pymap_server: PymapServer, tmp_path: Path, number: signal.Signals
) -> None:
    """A line a sync that it asks for; it ends with the signal, whatever the server does, and with exit code 0."""
    connect(database, pymap_server)
    with running(database, tmp_path, "listen", "--every", "0.1", variables=SECRET) as command:
        assert "ann: listening by IDLE" == command.line()
        assert "ann: asked for sync job 2" == command.line()
        complete(database, 2)
        with pymap_server.client() as other:
            other.append("INBOX", b"Subject: hidden\r\n\r\nx\r\n", datetime.now(UTC))
        assert "ann: asked for sync job 3" == command.line()
        assert (0, ["stopping"]) == command.end(number)  # which waits less than a silent connection lasts
    rows = database.execute("SELECT sync_type::text, requested_by FROM sync_jobs WHERE id > 1")
    assert [("incremental", "listen")] * 2 == [tuple(row.values()) for row in rows]


def test_when_no_login_is_accepted_it_ends(database: Database, pymap_server: PymapServer, tmp_path: Path) -> None:
    """One line for each mailbox, and exit code 1; the password is in no line."""
    connect(database, pymap_server)
    connect(database, pymap_server, "bob")
    with running(database, tmp_path, "listen", variables={"PW": "not-this-one"}) as command:
        code, lines = command.end(None)
    assert 1 == code
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
    done = run_warm(tmp_path, "listen", *words, variables={"CHUNK_SYNC_DSN": database.dsn})
    assert (2, "", True) == (done.returncode, done.stdout, expected in done.stderr)
    assert 1 == len(done.stderr.splitlines())
