"""Rolling deploys: workers of the newest release at work before, during and after the upgrade, beside new ones.

Old and new code are on one schema for a while. So each migration only adds; what old code reads and calls goes away
in a version after the one that stops using it.
"""

from __future__ import annotations

import dataclasses
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, LiteralString, Self

import pytest
from psycopg import sql
from sqlalchemy import make_url

from chunk_sync.domain.chunks import ChunkState
from chunk_sync.domain.partitions import job_keys
from chunk_sync.errors import SchemaError
from chunk_sync.mail.source import Source
from chunk_sync.store import migrations
from chunk_sync.store.database import Connection, Database
from chunk_sync.store.mailboxes import Mailbox
from chunk_sync_tests.catalog import catalog
from chunk_sync_tests.new_code import NewCode, chunks_of
from chunk_sync_tests.releases import BUSY_CHUNKS, Mail, Release, RunningRelease, released_versions
from chunk_sync_tests.servers.process import wait_until

if TYPE_CHECKING:  # a plugin must not be imported before pytest loads it
    from chunk_sync_tests.postgres_plugin import PgServer

# From one version to the next: older ones upgrade with their workers stopped (test_upgrade.py has them all).
pytestmark = pytest.mark.parametrize("release", released_versions()[-1:], indirect=True, scope="session")

PATIENCE_SECONDS = 40.0
"""The longest wait for a lock that a worker may see: it gives its lease up after 48 s without a heartbeat."""
LONG_SECONDS = 60
"""For what happens at once on a machine that has time."""
LOCK_ORDERS = {
    "claim": ("workers", "mailbox_lanes", "chunk_processing_queue"),
    "complete": (
        "message_locations",
        "chunk_processing_queue",
        "sync_chunks",
        "chunked_sync_health_monitoring",
        "sync_jobs",
    ),
    "fail": ("chunk_processing_queue", "chunked_sync_health_monitoring", "mailbox_lanes", "sync_jobs"),
    "goodbye": ("chunk_processing_queue", "workers", "dispatches"),
    "plan": ("folders", "sync_chunks", "sync_job_folders", "chunk_processing_queue", "sync_jobs"),
}
"""In which order transactions of the releases take tables: there is none that suits them all."""


@pytest.fixture
def old_schema(pg_server: PgServer, old_schema: Database) -> Database:
    """The same, but the migrator has 20 s to give way and not one: then PostgreSQL may choose the worker to die."""
    name = sql.Identifier(str(make_url(old_schema.dsn).database))
    pg_server.admin.execute(sql.SQL("ALTER DATABASE {} SET deadlock_timeout = '20s'").format(name))
    return old_schema


def test_an_old_worker_goes_on_across_the_upgrade(
    old_schema: Database, release: Release, mail: Mail, home: Path
) -> None:
    """A run that began before the upgrade renews its lease after it, lands its chunk and ends."""
    with release.running(old_schema.dsn, home) as old:
        old("mailbox", "half", f"maildir:{mail.half}")
        job = old("request", "half")
        old("plan", job)
        old("hold", job)
        migrations.migrate(old_schema)
        assert old("heartbeat")
        ended = old("land")
    assert ["failed", "completed", "completed", "retry"] == [ended[key] for key in job_keys(job, [0, 1, 2, 4])]
    new = NewCode(old_schema, home)
    new.finish("lost-run")
    assert [] == new.wrong("half")
    assert [1, 1, 1, 2, 2, 1] == [chunk["attempts"] for chunk in chunks_of(old_schema, "half")]


def test_old_code_works_on_the_new_schema(old_data: Database, release: Release, mail: Mail, home: Path) -> None:
    """Everything that old code does, it does on the new schema: request, plan, run, fail, retry, recover, reopen."""
    migrations.migrate(old_data)
    with release.running(old_data.dsn, home) as old:
        assert [2, 3] == sorted(old("recover", "held-run", "lost-run"))
        assert {"completed"} == set(old("run", "rest", _job(old_data, "half"), list(range(6))).values())
        assert "processing" == old("plan", _job(old_data, "whole"))
        assert {"completed"} == set(old("run", "due").values())
        old("mailbox", "later", f"maildir:{mail.half}")
        later = old("request", "later")
        assert "processing" == old("plan", later)
        held = old("hold", later)
        assert ["failed", "completed", "retry"] == [held[key] for key in job_keys(later, [0, 1, 4])]
        assert old("heartbeat")
        assert "completed" == old("land")[job_keys(later, [2])[0]]
        assert [3] == old("recover", "lost-run")
        assert {"completed"} == set(old("run", "last", later, [0, 3, 4, 5]).values())
    assert [] == NewCode(old_data, home).wrong("whole", "half", "later")


def test_old_and_new_code_share_a_job(old_schema: Database, release: Release, mail: Mail, home: Path) -> None:
    """Runs of both versions pull chunks of one job at the same time: each is done once."""
    migrations.migrate(old_schema)
    new = NewCode(old_schema, home)
    begun = threading.Event()
    open_mailbox = new.parts.open_mailbox

    def open_when_the_old_one_works(mailbox: Mailbox) -> Source:
        begun.set()
        assert wait_until(lambda: _completed(old_schema, job) > 0, LONG_SECONDS)
        return open_mailbox(mailbox)

    new.parts = dataclasses.replace(new.parts, open_mailbox=open_when_the_old_one_works)
    with release.running(old_schema.dsn, home) as old, ThreadPoolExecutor(1) as pool:
        job = _planned(old, "busy", mail.busy)
        running = pool.submit(new.run, "new")
        assert begun.wait(LONG_SECONDS)
        by_old = list(old("run", "old"))
        by_new = [outcome.key for outcome in running.result() if outcome.state is ChunkState.COMPLETED]
    assert sorted(job_keys(job, range(BUSY_CHUNKS))) == sorted(by_new + by_old)
    assert all((by_new, by_old))
    assert [] == new.wrong("busy")
    assert [{"status": "success", "n": BUSY_CHUNKS}] == _attempts(old_schema)


def test_an_upgrade_disturbs_no_old_worker(old_schema: Database, release: Release, mail: Mail, home: Path) -> None:
    """Old code syncs while the schema is changed under it: no attempt fails, nobody waits long for a lock."""
    with (
        release.running(old_schema.dsn, home) as old,
        _LockWatch(old_schema.dsn) as watch,
        ThreadPoolExecutor(1) as pool,
    ):
        jobs = [_planned(old, "busy", mail.busy)]
        old.send("run", "old")
        while not _completed(old_schema, jobs[0]):
            time.sleep(0.005)
        migrator = pool.submit(migrations.migrate, old_schema)
        outcomes = old.answer()
        while not migrator.done():
            jobs.append(old("request", "busy", "initial"))
            old("plan", jobs[-1])
            outcomes |= old("run", "old")
        migrator.result()
    assert dict.fromkeys((key for job in jobs for key in job_keys(job, range(BUSY_CHUNKS))), "completed") == outcomes
    assert [{"status": "success", "n": BUSY_CHUNKS * len(jobs)}] == _attempts(old_schema)
    assert watch.longest < PATIENCE_SECONDS
    assert [] == NewCode(old_schema, home).wrong("busy")


@pytest.mark.parametrize("order", LOCK_ORDERS.values(), ids=LOCK_ORDERS.keys())
def test_an_upgrade_kills_no_transaction(old_schema: Database, order: tuple[str, ...]) -> None:
    """A worker in the middle of a transaction gets the tables that it still needs: no deadlock with the migrator."""
    with ThreadPoolExecutor(1) as pool:
        with old_schema.transaction() as worker:
            _touch(worker, order[0])
            migrator = pool.submit(migrations.migrate, old_schema)
            while not migrator.done() and not _somebody(old_schema, "wait_event_type = 'Lock'"):
                time.sleep(0.005)
            for table in order[1:]:
                _touch(worker, table)
        migrator.result()
    migrations.check_schema(old_schema)


@pytest.mark.parametrize("late", ["claim", "fail", "goodbye", "heartbeat", "land", "recover"])
def test_a_call_that_waits_for_the_upgrade(
    old_schema: Database, release: Release, mail: Mail, home: Path, own_sql: Path, late: str
) -> None:
    """A function that was called before the upgrade and goes on after it has its old text: the queue stays right."""
    (own_sql / "migrations" / "9999_slow.sql").write_text("SELECT pg_sleep(0.7);", encoding="utf-8")
    with release.running(old_schema.dsn, home) as old, ThreadPoolExecutor(1) as pool:
        old("mailbox", "half", f"maildir:{mail.half}")
        job = old("request", "half")
        old("plan", job)
        old("hold", job)
        old("stand_by", job, 5)
        if late in {"fail", "goodbye"}:
            old("claim")
        migrator = pool.submit(migrations.migrate, old_schema)
        while not migrator.done() and not _somebody(old_schema, "wait_event = 'PgSleep'"):
            time.sleep(0.005)
        old.send(late, *(["lost-run"] if late == "recover" else []))
        while not migrator.done() and not _somebody(old_schema, "wait_event_type = 'Lock'"):
            time.sleep(0.005)
        migrator.result()
        assert old.answer()
        if late == "claim":
            assert old("fail")
        if late != "land":
            assert old("land")
    new = NewCode(old_schema, home)
    new.finish("lost-run", "by-hand")
    assert [] == new.wrong("half")


def test_a_long_transaction_stops_the_migrator_and_nobody_else(
    old_data: Database, own_sql: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While a backup holds a table, the migrator tries a moment at a time, then gives up; workers wait no longer.

    It has a clock that the test owns: it goes on trying until a worker has come through three times.
    """
    (own_sql / "migrations" / "9999_next.sql").write_text("CREATE TABLE next (id bigint);", encoding="utf-8")
    before = catalog(old_data)
    now = 0.0
    monkeypatch.setattr(migrations, "_LOCK_PATIENCE", 5 * LONG_SECONDS)
    monkeypatch.setattr(migrations, "time", SimpleNamespace(monotonic=lambda: now, sleep=time.sleep))
    with old_data.transaction() as backup, ThreadPoolExecutor(1) as pool:
        backup.execute("SELECT FROM sync_jobs")
        migrator = pool.submit(migrations.migrate, old_data)
        try:
            for _ in range(3):
                assert wait_until(lambda: _somebody(old_data, "wait_event_type = 'Lock'"), LONG_SECONDS)
                with old_data.transaction() as worker:
                    worker.execute(f"SET LOCAL lock_timeout = '{LONG_SECONDS}s'".encode())
                    worker.execute("SELECT FROM chunk_processing_queue")  # the migrator has it, and waits for sync_jobs
                    worker.execute("UPDATE workers SET heartbeat_at = clock()")
                assert not migrator.done()
        finally:
            now = 6 * LONG_SECONDS
        with pytest.raises(SchemaError, match="the schema is in use"):
            migrator.result()
    assert before == catalog(old_data)


class _LockWatch:
    """Looks how long anybody waits for a lock, while it is open; `longest` in seconds."""

    def __init__(self, dsn: str) -> None:
        self.longest = 0.0
        self._database = Database(dsn)
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._look)

    def _look(self) -> None:
        query = (
            "SELECT coalesce(max(extract(EPOCH FROM clock_timestamp() - l.waitstart)), 0)::float AS seconds"
            " FROM pg_locks AS l JOIN pg_stat_activity AS a USING (pid)"
            " WHERE NOT l.granted AND a.application_name = 'chunk_sync release'"
        )
        while not self._ended.wait(0.01):
            self.longest = max(self.longest, self._database.execute(query)[0]["seconds"])

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self._ended.set()
        self._thread.join()
        self._database.close()


def _touch(conn: Connection, table: str) -> None:
    conn.execute(sql.SQL("LOCK TABLE {} IN ROW EXCLUSIVE MODE").format(sql.Identifier(table)))


def _somebody(database: Database, does: LiteralString) -> bool:
    """Tell whether a session of this database does something, as pg_stat_activity tells the login that all share."""
    with database.owner_transaction() as conn:
        return bool(
            conn.execute(f"SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND {does}").fetchall()
        )


def _planned(old: RunningRelease, mailbox: str, maildir: Path) -> int:
    old("mailbox", mailbox, f"maildir:{maildir}")
    job = old("request", mailbox)
    assert "processing" == old("plan", job)
    return job


def _job(database: Database, mailbox: str) -> int:
    """Find the newest job of a mailbox."""
    found = database.execute(
        "SELECT max(j.id) AS id FROM sync_jobs AS j JOIN mailboxes AS m ON m.id = j.mailbox_id WHERE m.name = %s",
        (mailbox,),
    )
    return found[0]["id"]


def _completed(database: Database, job_id: int) -> int:
    found = database.execute("SELECT completed_chunks AS n FROM sync_jobs WHERE id = %s", (job_id,))
    return found[0]["n"]


def _attempts(database: Database) -> list[dict[str, object]]:
    return database.execute(
        "SELECT status::text, count(*)::int AS n FROM chunked_sync_health_monitoring GROUP BY status ORDER BY status"
    )
