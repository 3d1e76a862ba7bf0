"""The main job, whole: a real daemon, a real IMAP server, and the kills that it has to survive.

One `up` serves all of these tests; each has a mailbox of its own. The oracle is the server: after each story every
message that it holds is stored once, byte for byte.
"""

from __future__ import annotations

import itertools
import signal
from collections.abc import Iterator
from contextlib import ExitStack, suppress

import psutil
import pytest
import zstandard

from chunk_sync.demo.mailbox import GeneratedMessage, iter_messages
from chunk_sync.store.mailboxes import get_mailbox, request_sync
from chunk_sync_tests.e2e.installation import Installation
from chunk_sync_tests.postgres_plugin import scratch_folder
from chunk_sync_tests.servers.dovecot import DovecotServer

pytestmark = pytest.mark.needs("dovecot")

MESSAGES = 1200
LEASE_SECONDS = 6
_names = itertools.count(1)


@pytest.fixture(scope="module")
def installation() -> Iterator[Installation]:
    """`up` with a short lease, small chunks and one thread a run, so that there is a half-way."""
    variables = {
        "CHUNK_SYNC_LEASE_SECONDS": str(LEASE_SECONDS),
        "CHUNK_SYNC_CHUNK_MESSAGES": "25",
        "CHUNK_SYNC_RUN_THREADS": "1",
    }
    with scratch_folder() as folder, Installation(folder / "home", variables) as running:
        yield running


@pytest.fixture
def dovecot() -> Iterator[DovecotServer]:
    """A Dovecot with MESSAGES messages in several folders."""
    with ExitStack() as stack:
        server = stack.enter_context(DovecotServer())
        server.add_mailbox(iter_messages(MESSAGES, seed=next(_names), profile="small"))
        yield server


def connect(installation: Installation, server: DovecotServer) -> str:
    """Connect the server's mailbox as a user does; returns the mailbox's name."""
    name = f"box{next(_names)}"
    password = installation.home / f"{name}.password"
    password.write_text(server.password)
    added = installation.cli("mailbox", "add", server.address, "--name", name, "--password-file", str(password))
    assert 0 == added.returncode, added.stderr
    return name


def stored(installation: Installation, name: str) -> dict[str, list[str]]:
    """Every place of the mailbox: folder to sorted sha256 of the bytes that are really kept."""
    import hashlib

    rows = installation.database.execute(
        "SELECT f.path, r.codec, r.data FROM message_locations AS l JOIN folders AS f ON f.id = l.folder_id"
        " JOIN mailboxes AS b ON b.id = f.mailbox_id JOIN messages AS m ON m.id = l.message_id"
        " JOIN message_raw AS r ON r.tenant_id = m.tenant_id AND r.sha256 = m.raw_sha256"
        " WHERE b.name = %s AND l.uidvalidity = f.uidvalidity",
        (name,),
    )
    found: dict[str, list[str]] = {}
    for row in rows:
        found.setdefault(row["path"], []).append(hashlib.sha256(zstandard.decompress(row["data"])).hexdigest())
    return {path: sorted(hashes) for path, hashes in found.items()}


def served(server: DovecotServer) -> dict[str, list[str]]:
    """The same, as the server holds it; empty folders left out."""
    return {path: hashes for path, hashes in server.snapshot().items() if hashes}


def partitions_told(installation: Installation, job_id: int) -> bool | None:
    """Whether Dagster was told of every chunk of the job."""
    rows = installation.database.execute(
        "SELECT count(*) AS n FROM sync_chunks WHERE sync_job_id = %s AND reported_at IS NULL", (job_id,)
    )
    return True if rows[0]["n"] == 0 else None


def test_request_by_sql_alone_then_incremental(installation: Installation, dovecot: DovecotServer) -> None:
    """An INSERT lands a whole IMAP mailbox; 50 new messages are exactly what the next sync lands."""
    name = connect(installation, dovecot)
    box = get_mailbox(installation.database, name)
    rows = installation.database.execute("INSERT INTO sync_jobs (mailbox_id) VALUES (%s) RETURNING id", (box.id,))
    done = installation.wait_until_ended(rows[0]["id"])
    assert ("completed", MESSAGES, MESSAGES) == (done.status, done.emails_processed, done.emails_estimated)
    assert 3 <= len(served(dovecot))
    assert served(dovecot) == stored(installation, name)

    new: list[GeneratedMessage] = list(itertools.islice(iter_messages(MESSAGES + 50, seed=999, profile="small"), 50))
    dovecot.add_mailbox(new)
    request = request_sync(installation.database, name)
    assert "incremental" == request.sync_type
    done = installation.wait_until_ended(request.job_id)
    assert ("completed", 50) == (done.status, done.emails_estimated)
    assert served(dovecot) == stored(installation, name)
    installation.wait_for(lambda: partitions_told(installation, request.job_id), 120, "report to Dagster")

    verified = installation.cli("verify", name)
    assert 0 == verified.returncode, verified.stdout
    assert f"equal: {MESSAGES + 50:,} messages" in verified.stdout


def test_kill_9_of_the_run_worker_half_way(installation: Installation, dovecot: DovecotServer) -> None:
    """The run's process dies in the middle: its chunks come back by themselves, nothing is lost or doubled."""
    name = connect(installation, dovecot)
    with installation.stopped_half_way() as half_way:
        job_id = request_sync(installation.database, name).job_id
        half_way(job_id)
        workers = installation.run_workers()
        assert workers
        for worker in workers:
            with suppress(psutil.NoSuchProcess):  # it may be another mailbox's that has ended
                worker.send_signal(signal.SIGKILL)
        assert "processing" == installation.job(job_id).status
    assert "completed" == installation.wait_until_ended(job_id).status
    assert served(dovecot) == stored(installation, name)
    recovered = installation.database.execute(
        "SELECT count(*) AS n FROM audit_log WHERE action = 'stuck_chunk_reset' AND sync_job_id = %s", (job_id,)
    )
    assert 1 <= recovered[0]["n"]
    installation.wait_for(lambda: partitions_told(installation, job_id), 120, "report to Dagster")


def test_kill_9_of_postgresql_half_way(installation: Installation, dovecot: DovecotServer) -> None:
    """The database dies in the middle: `up` starts it again and the job completes, each message once."""
    name = connect(installation, dovecot)
    with installation.stopped_half_way() as half_way:
        job_id = request_sync(installation.database, name).job_id
        half_way(job_id)
        pid = int((installation.home / "postgres" / "data" / "postmaster.pid").read_text().splitlines()[0])
        postmaster = psutil.Process(pid)
        for process in [postmaster, *postmaster.children(recursive=True)]:
            with suppress(psutil.NoSuchProcess):  # a backend that had just ended
                process.kill()
    installation.wait_for(
        lambda: True if "PostgreSQL had ended" in installation.output() else None, 120, "restart of PostgreSQL"
    )
    assert "completed" == installation.wait_until_ended(job_id).status
    assert served(dovecot) == stored(installation, name)


def test_kill_9_of_everything_half_way(installation: Installation, dovecot: DovecotServer) -> None:
    """`up` and all that it runs die in the middle; the next `up` finishes the job."""
    name = connect(installation, dovecot)
    with installation.stopped_half_way() as half_way:
        job_id = request_sync(installation.database, name).job_id
        half_way(job_id)
        installation.kill()
        for process in installation.processes():
            with suppress(psutil.NoSuchProcess):  # they go with it, one after another
                process.kill()
    installation.database.close()
    installation.start()
    assert "completed" == installation.wait_until_ended(job_id).status
    assert served(dovecot) == stored(installation, name)


def test_a_second_up_says_where_the_first_one_is(installation: Installation) -> None:
    """There is one `up` per state folder, and its address is in the refusal."""
    second = installation.cli("up")
    assert 2 == second.returncode
    assert "error: already running: http://127.0.0.1:" in second.stderr
