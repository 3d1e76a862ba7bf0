"""The commands that the system's founding documents print, run as printed, by psql, on a database with data.

The documents lie in seeds/, word for word. Only their placeholders for ids are replaced.
"""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psycopg
import pytest

from chunk_sync.errors import UsageError
from chunk_sync.local.dsn import libpq_url
from chunk_sync.local.pg_binaries import find_binaries
from chunk_sync.store.database import Database
from chunk_sync_tests.factory import claim, complete, make_job, make_mailbox, open_worker

SEEDS = sorted((Path(__file__).parent.parent / "seeds").glob("*.txt"))
# A statement goes to its semicolon, but not to one inside of quotes.
STATEMENT = re.compile(r"SELECT\s(?:'[^']*'|[^';`])*;")
CRON = "SELECT cron.schedule('cleanup-stuck-chunks', '*/5 * * * *', 'SELECT cleanup_stuck_chunks();');"

Run = Callable[[str], str]


def _statements() -> list[Any]:
    return [
        pytest.param(found, id=f"{path.name[:3]}: {' '.join(found.split())}")
        for path in SEEDS
        for found in dict.fromkeys(STATEMENT.findall(path.read_text("utf-8")))
        if not _is_an_extensions(found)
    ]


def _is_an_extensions(statement: str) -> bool:
    """Whether a statement needs pg_cron: here the sweep is the product's own business."""
    return "cron." in statement


def _find_psql() -> str | None:
    try:
        beside = find_binaries(None).program("psql")
    except UsageError:
        return shutil.which("psql")
    return beside if Path(beside).exists() else shutil.which("psql")


@pytest.fixture
def used_database(database: Database) -> Database:
    """One job with a chunk that succeeded, one that failed, one whose worker died, and one that is pending."""
    job = make_job(database, make_mailbox(database), chunks=4)
    worker = open_worker(database)
    good, bad, _ = claim(database, job, worker, limit=3)
    complete(database, good)
    database.execute("SELECT fail_chunk(%s, %s, 'rate_limit', 'too many requests')", (bad.chunk_id, bad.lease_token))
    database.execute("UPDATE workers SET lease_until = clock() - interval '90 s' WHERE id = %s", (worker,))
    return database


@pytest.fixture
def run(used_database: Database, plain_connection: psycopg.Connection) -> Run:
    """Run a statement as a person does who has nothing but the database's URL; what it prints, without headings."""
    url = libpq_url(used_database.dsn)
    psql = _find_psql()

    def by_program(statement: str) -> str:
        words = [str(psql), "-X", "-A", "-t", "-v", "ON_ERROR_STOP=1", "-d", url, "-c", statement]
        done = subprocess.run(words, capture_output=True, text=True, check=False)
        assert 0 == done.returncode, done.stderr
        assert "" == done.stderr
        return done.stdout

    def by_driver(statement: str) -> str:
        rows = plain_connection.execute(statement.encode()).fetchall()
        plain_connection.commit()
        return "\n".join(str(row) for row in rows)

    return by_program if psql else by_driver


def test_every_statement_but_the_scheduler_extensions_is_run() -> None:
    """What is left out of the documents' statements is exactly the one line of another extension."""
    found = [statement for path in SEEDS for statement in STATEMENT.findall(path.read_text("utf-8"))]
    assert [CRON] == [statement for statement in found if _is_an_extensions(statement)]
    # None is missed by the pattern: the word stands in no other place than these, and inside the line left out.
    words = sum(len(re.findall(r"\bSELECT\b", path.read_text("utf-8"))) for path in SEEDS)
    assert (3, 13, 14) == (len(SEEDS), len(found), words)


@pytest.mark.parametrize("statement", _statements())
def test_b44_a_seeds_command_runs_as_it_is_printed(run: Run, used_database: Database, statement: str) -> None:
    """It runs without any schema's name, and prints rows; ids that are placeholders are the only thing replaced."""
    ids = used_database.execute(
        "SELECT j.public_id AS job, (SELECT queue_id FROM chunk_processing_queue ORDER BY chunk_index LIMIT 1) AS queue"
        " FROM sync_jobs AS j"
    )[0]
    printed = run(
        statement.replace("your-parent-sync-job-id", str(ids["job"])).replace("queue-uuid", str(ids["queue"]))
    )
    assert printed.strip()
    assert "error" not in re.findall(r'^\{"(\w+)"', printed)


def test_unknown_ids_are_told(run: Run) -> None:
    """An id that is none of ours is answered with what is wrong, as JSON."""
    nobody = "00000000-0000-7000-8000-000000000000"
    assert '{"error" : "Sync job not found"}' == run(f"SELECT get_sync_job_progress_safe('{nobody}');").strip()
    assert '{"error" : "Queue not found"}' == run(f"SELECT get_queue_health_summary('{nobody}');").strip()


def test_the_manual_cleanup_gives_the_lost_chunk_back(run: Run, used_database: Database) -> None:
    """The sweep by hand says how many it found: the one whose worker died, and none the second time."""
    assert ["1", "0"] == [run("SELECT cleanup_stuck_chunks();").strip() for _ in range(2)]
    left = used_database.execute("SELECT count(*) AS n FROM chunk_processing_queue WHERE status = 'processing'")
    assert [{"n": 0}] == left
