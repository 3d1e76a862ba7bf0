"""`retry`, `resync`, `priority`, `archive` and `recover`: one line each, and who it was in the audit log."""

from __future__ import annotations

import getpass
from pathlib import Path

import pytest

from chunk_sync.store.database import Database
from chunk_sync_tests.cli.warm import run_warm
from chunk_sync_tests.factory import (
    claim,
    complete,
    fail_for_good,
    job_row,
    make_job,
    make_mailbox,
    open_worker,
    statuses,
)


def said(database: Database, home: Path, *words: str) -> str:
    """Run a command that works; what it said."""
    done = run_warm(home, *words, variables={"CHUNK_SYNC_DSN": database.dsn})
    assert (0, "") == (done.returncode, done.stderr)
    return done.stdout.strip()


def test_from_a_dead_letter_to_the_archive(database: Database, tmp_path: Path) -> None:
    """A chunk fails, is retried, synced again and archived; each step is audited with the login and the reason."""
    job = make_job(database, make_mailbox(database), chunks=2)
    worker = open_worker(database, lease=3600)
    (chunk,) = claim(database, job, worker)
    fail_for_good(database, chunk)
    assert f"sync job {job.id}: 1 failed chunks run again" == said(database, tmp_path, "retry", str(job.id))
    assert ["pending", "pending"] == statuses(database, job)
    assert f"sync job {job.id} has priority 1: 2 chunks wait" == said(
        database, tmp_path, "priority", str(job.id), "cleanup", "--reason", "there is time"
    )
    for _ in job.chunk_ids:
        complete(database, claim(database, job, worker)[0])
    again = said(database, tmp_path, "resync", str(job.id), "--chunk", "1")
    assert (f"sync job {job.id}: 1 chunks run again", ["completed", "pending"]) == (again, statuses(database, job))
    complete(database, claim(database, job, worker)[0])
    assert f"sync job {job.id} is archived" == said(database, tmp_path, "archive", str(job.id))
    database.execute("UPDATE workers SET lease_until = 'epoch'")
    assert "0 chunks taken back, 0 of them are dead letters now" == said(database, tmp_path, "recover")
    rows = database.execute("SELECT actor, action, reason FROM audit_log ORDER BY id")
    assert {f"{getpass.getuser()} (cli)"} == {row["actor"] for row in rows}
    assert [
        ("chunks_reopened", "by hand"),
        ("sync_prioritized", "there is time"),
        ("chunks_reopened", "by hand"),
        ("sync_job_archived", "by hand"),
        ("recovered_by_hand", "by hand"),
    ] == [(row["action"], row["reason"]) for row in rows]
    assert "completed" == job_row(database, job.id)["status"]


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (("retry", "7"), "there is no sync job 7: `./chunk-sync status` lists them"),
        (("priority", "7", "soon"), "'soon' is no priority: give a number from 1 to 30, or one of urgent, initial"),
    ],
)
def test_mistakes_get_one_clear_line(database: Database, tmp_path: Path, words: tuple[str, ...], expected: str) -> None:
    """What is not there, and what is no priority."""
    done = run_warm(tmp_path, *words, variables={"CHUNK_SYNC_DSN": database.dsn})
    assert (2, "") == (done.returncode, done.stdout)
    assert done.stderr.startswith(f"error: {expected}")
