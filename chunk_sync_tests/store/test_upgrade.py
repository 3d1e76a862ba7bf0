"""Upgrades: from every released version, with its data in it and its workers at work, by its own code.

A rolling deploy has old and new code on one schema for a while. So each migration only adds; what old code
reads and writes goes away in a version after the one that stops using it.
"""

from __future__ import annotations

import dataclasses
import shutil
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import LiteralString, Self

import pytest
from psycopg import sql

from chunk_sync.demo.mailbox import iter_messages
from chunk_sync.demo.maildir import deliver
from chunk_sync.domain.chunks import ChunkState
from chunk_sync.domain.partitions import job_keys
from chunk_sync.errors import SchemaError
from chunk_sync.store import migrations
from chunk_sync.store.database import Connection, Database, sql_folder
from chunk_sync_tests.catalog import Tables, catalog, in_order, rows
from chunk_sync_tests.new_code import NewCode
from chunk_sync_tests.postgres_plugin import PgServer
from chunk_sync_tests.releases import (
    Release,
    ReleaseError,
    RunningRelease,
    half_done_maildir,
    released_versions,
    unpacked,
)

OTHER_VALUES = {
    ("retry_policies", "delays_ms"),  # 0003 says the same rules as a kind of backoff with its numbers
    ("retry_policies", "attempts_limit"),
}
"""(table, column) of a release that a migration fills anew, each with its reason."""
OTHER_ORDER: frozenset[str] = frozenset()
"""Tables whose columns may stand in another order after an upgrade. None so far."""
BOOKS = {"schema_migrations", "schema_objects"}
"""What the migrator itself writes."""
MADE_ANEW = {"public_id", "created_at", "applied_at"}
"""Columns of rows that migrations put in, with an id or a moment of their own in each database."""
PATIENCE_SECONDS = 5.0
"""The longest wait for a lock that a worker may see: it gives its lease up after 48 s without a heartbeat."""
BUSY_CHUNKS = 24
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


@dataclass(frozen=True, slots=True)
class Mail:
    """Maildirs: `whole` to be synced to the end, `half` to be left half done, `busy` with many chunks."""

    whole: Path
    half: Path
    busy: Path


@pytest.fixture(scope="module")
def mail(tmp_path_factory: pytest.TempPathFactory) -> Mail:
    """Mail with attachments, broken messages, a message above the limit, and the same bytes in two mailboxes."""
    folder = tmp_path_factory.mktemp("mail")
    made = Mail(folder / "whole", folder / "half", folder / "busy")
    messages = list(iter_messages(48))
    deliver(made.whole, messages[:-3])
    large = dataclasses.replace(messages[0], raw=messages[0].raw + b"x" * (1 << 20))
    half_done_maildir(made.half, [messages[0], large, *messages[1:24]])
    many = iter_messages(BUSY_CHUNKS * 25, profile="small")
    deliver(made.busy, [dataclasses.replace(message, folder="INBOX") for message in many])
    return made


@pytest.fixture(scope="module", params=released_versions())
def release(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Release:
    """Each released version in turn."""
    return unpacked(request.param, tmp_path_factory.mktemp("release"))


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A state folder that old and new code share."""
    return tmp_path_factory.mktemp("home")


@pytest.fixture(scope="module")
def empty_template(pg_server: PgServer, release: Release, home: Path) -> str:
    """The schema of a release, as its own code makes it."""

    def fill(dsn: str) -> None:
        with release.running(dsn, home) as old:
            old("migrate")

    return pg_server.template(fill)


@pytest.fixture(scope="module")
def full_template(pg_server: PgServer, release: Release, mail: Mail, home: Path, empty_template: str) -> str:
    """A release's database in mid-life: a job that is complete, one half done, one requested; its run was killed."""

    def fill(dsn: str) -> None:
        with release.running(dsn, home) as old:
            old("mailbox", "whole", f"maildir:{mail.whole}")
            whole = old("request", "whole")
            old("plan", whole)
            old("run", "first")
            old("run", "by-hand", whole, [0])  # opened again: the audit log has a row
            old("mailbox", "half", f"maildir:{mail.half}")
            half = old("request", "half")
            old("plan", half)
            old("hold", half)
            deliver(mail.whole, list(iter_messages(48))[-3:])
            old("request", "whole")

    return pg_server.template(fill, empty_template)


@pytest.fixture
def old_schema(pg_server: PgServer, empty_template: str) -> Iterator[Database]:
    """A database with a release's schema and no data."""
    with pg_server.cloned(empty_template) as dsn, Database(dsn) as database:
        yield database


@pytest.fixture
def old_data(pg_server: PgServer, full_template: str) -> Iterator[Database]:
    """A database with a release's schema and data."""
    with pg_server.cloned(full_template) as dsn, Database(dsn) as database:
        yield database


@pytest.fixture
def own_sql(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of sql/ that a test may change."""
    copy = tmp_path / "sql"
    shutil.copytree(sql_folder(), copy)
    monkeypatch.setattr(migrations, "sql_folder", lambda: copy)
    return copy


def test_the_release_left_all_kinds_of_rows(old_data: Database) -> None:
    """The test material: no table of the release is empty, and one job has a chunk in every state but cancelled."""
    assert [] == [table for table, found in rows(old_data).items() if not found]
    assert [(1, "failed"), (1, "completed"), (1, "processing"), (1, "processing"), (1, "pending"), (0, "pending")] == [
        (chunk["attempts"], chunk["status"]) for chunk in _chunks(old_data, "half")
    ]


def test_b44_an_upgrade_keeps_every_row(old_data: Database) -> None:
    """Every value of every column is what it was: statuses, attempts, leases, hashes, bytes."""
    before = rows(old_data)
    migrations.migrate(old_data)
    migrations.check_schema(old_data)
    assert _kept(before, before) == _kept(before, rows(old_data))


def test_b44_an_upgraded_schema_is_a_fresh_one(old_schema: Database, empty_database: Database) -> None:
    """However the schema came to be, it is the same, and so are the rows that migrations put in."""
    migrations.migrate(empty_database)
    migrations.migrate(old_schema)
    assert _comparable(catalog(empty_database)) == _comparable(catalog(old_schema))
    assert _seeds(empty_database) == _seeds(old_schema)


def test_the_new_code_finishes_what_the_old_one_began(old_data: Database, home: Path) -> None:
    """Retry, dead letter, lost leases, a plan that was asked for: all of it goes on, and no attempt is forgotten."""
    migrations.migrate(old_data)
    new = NewCode(old_data, home)
    new.finish("held-run", "lost-run")
    assert [] == new.wrong("whole", "half")
    assert [1, 1, 2, 2, 2, 1] == [chunk["attempts"] for chunk in _chunks(old_data, "half")]


@pytest.mark.parametrize("place", ["migrations/9999_broken.sql", "functions/zzz_broken.sql", "views/zzz_broken.sql"])
def test_an_upgrade_that_fails_changes_nothing(old_data: Database, own_sql: Path, place: str) -> None:
    """Whatever breaks, early or at the very end: the old schema and its data stay as they were."""
    before = catalog(old_data), rows(old_data)
    change = "ALTER TABLE sync_jobs ADD COLUMN half int; UPDATE sync_chunks SET uids = '';"
    (own_sql / place).write_text(f"{change} SELECT 1/0;", encoding="utf-8")
    with pytest.raises(SchemaError, match=rf"{place}: division by zero"):
        migrations.migrate(old_data)
    assert before == (catalog(old_data), rows(old_data))


def test_two_migrators_upgrade_once(old_data: Database, own_sql: Path) -> None:
    """Of three that start together one upgrades, and all succeed."""
    (own_sql / "migrations" / "9999_next.sql").write_text("CREATE TABLE next (id bigint);", encoding="utf-8")
    with ThreadPoolExecutor(3) as pool:
        reports = [running.result() for running in [pool.submit(migrations.migrate, old_data) for _ in range(3)]]
    assert [9999, 9999, 9999] == [report.version for report in reports]
    assert 1 == sum(bool(report.applied) for report in reports)


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
    assert [1, 1, 1, 2, 2, 1] == [chunk["attempts"] for chunk in _chunks(old_schema, "half")]


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
    with release.running(old_schema.dsn, home) as old:
        job = _planned(old, "busy", mail.busy)
        old.send("run", "old")
        by_new = [outcome.key for outcome in new.run("new") if outcome.state is ChunkState.COMPLETED]
        by_old = list(old.answer())
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


def test_old_code_that_starts_on_a_newer_schema_is_told(
    old_schema: Database, release: Release, home: Path, own_sql: Path
) -> None:
    """A command of the old version that begins after the upgrade says what to do, and changes nothing."""
    had = migrations.schema_version(old_schema)
    (own_sql / "migrations" / "9999_next.sql").write_text("CREATE TABLE next (id bigint);", encoding="utf-8")
    migrations.migrate(old_schema)
    with release.running(old_schema.dsn, home) as old:
        for command in ("check", "migrate"):
            with pytest.raises(ReleaseError, match=rf"at schema 9999, this code knows {had}: update chunk_sync"):
                old(command)
    migrations.check_schema(old_schema)


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
    """Tell whether a session of this database does something, as pg_stat_activity says it."""
    return bool(database.execute(f"SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND {does}"))


def _planned(old: RunningRelease, mailbox: str, maildir: Path) -> int:
    old("mailbox", mailbox, f"maildir:{maildir}")
    job = old("request", mailbox)
    assert "processing" == old("plan", job)
    return job


def _chunks(database: Database, mailbox: str) -> list[dict[str, object]]:
    return database.execute(
        "SELECT q.sync_job_id, q.attempts, q.status::text FROM chunk_processing_queue AS q"
        " JOIN mailboxes AS m ON m.id = q.mailbox_id WHERE m.name = %s ORDER BY q.sync_job_id, q.chunk_index",
        (mailbox,),
    )


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


def _kept(before: Tables, tables: Tables) -> Tables:
    """Of these tables, what an upgrade must not change: the columns that were there before it."""
    columns = {
        table: {c for row in found for c in row if (table, c) not in OTHER_VALUES} for table, found in before.items()
    }
    return {
        table: in_order([{c: row[c] for c in columns[table]} for row in tables[table]])
        for table in before.keys() - BOOKS
    }


def _comparable(lines: list[str]) -> list[str]:
    tables = tuple(f"order {table} " for table in OTHER_ORDER)
    return [line for line in lines if not (tables and line.startswith(tables))]


def _seeds(database: Database) -> Tables:
    """What migrations put in, the books included: a file that goes away takes its entry with it."""
    return {
        table: in_order([{c: value for c, value in row.items() if c not in MADE_ANEW} for row in found])
        for table, found in rows(database).items()
    }
