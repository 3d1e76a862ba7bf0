"""A mailbox on a real server behind the fault proxy, its database, and the oracle that compares the two.

Time is moved, never waited for: the database's clock stands still, a run has no patience, and between two runs the
clock jumps to the moment at which something is due again. A line has a minute for every answer; a world that gives up
soon does so on lines that have fallen silent, and on none that is only slow.
"""

from __future__ import annotations

import dataclasses
import hashlib
import re
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import zstandard

from chunk_sync.domain.spans import UidSet
from chunk_sync.engine.connect import source_opener
from chunk_sync.engine.plan_job import PlanOutcome
from chunk_sync.engine.run_chunks import Parts
from chunk_sync.mail.imap_wire import ImapWire
from chunk_sync.settings import Settings
from chunk_sync.store.database import Database
from chunk_sync.store.mailboxes import add_mailbox, request_sync
from chunk_sync_tests.factory import job_row, move_clock
from chunk_sync_tests.servers.fault_proxy import FaultProxy
from chunk_sync_tests.servers.process import ImapServer
from chunk_sync_tests.syncing import plan, run_due

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

FOLDERS = {"INBOX": 60, "Work": 40, "Sent": 20}
TOTAL = sum(FOLDERS.values())
CHUNK = 25
CHUNKS = 6
_ROUNDS = 8
_MOMENT = 0.2

# The commands of a sync, however they are spelt.
LOGIN = rb"^(LOGIN|AUTHENTICATE)\b"
CAPABILITY = rb"^CAPABILITY\b"
LIST = rb"^LIST\b"
OPEN = rb"^(EXAMINE|SELECT)\b"
LISTING = rb"^(UID )?FETCH (?!.*BODY)"
BODIES = rb"^(UID )?FETCH .*BODY"
_BODIES_OF = re.compile(r"UID FETCH (\S+) .*BODY")
_OPENED = re.compile(r'(?:EXAMINE|SELECT) "([^"]*)"')
_OPEN = {"requested", "planning", "processing"}


def letters(folder: str, count: int, start: int = 0) -> list[bytes]:
    """Make small messages, each of its own length, none like another."""
    return [
        f"From: a@example.com\r\nMessage-ID: <{folder}.{n}@example.com>\r\nSubject: {folder} {n}\r\n\r\n".encode()
        + b"hello %d\r\n" % n * (20 + n % 30)
        for n in range(start, start + count)
    ]


def bodies_asked(commands: list[str]) -> Counter[tuple[str, int]]:
    """Count how often the bytes of each message (folder, UID) were asked for."""
    asked: Counter[tuple[str, int]] = Counter()
    folder = ""
    for command in commands:
        if opened := _OPENED.match(command):
            folder = opened[1]
        elif wanted := _BODIES_OF.match(command):
            asked.update((folder, uid) for uid in UidSet.parse(wanted[1]))
    return asked


@dataclass(frozen=True, slots=True)
class Failure:
    """A failed attempt as it was recorded; `wait` is the delay that was given, in seconds."""

    category: str
    code: str | None
    wait: float | None


class World:
    """The steps of a sync. `proxy.faults` may be set between any two of them."""

    def __init__(
        self,
        database: Database,
        server: ImapServer,
        proxy: FaultProxy,
        user: str,
        home: Path,
        *,
        address: str | None = None,
    ) -> None:
        self.database = database
        self.server = server
        self.proxy = proxy
        self.user = user
        secret = home / "password"
        secret.write_text(server.users[user])
        settings = Settings.read(
            {
                "CHUNK_SYNC_HOME": str(home),
                "CHUNK_SYNC_CHUNK_MESSAGES": str(CHUNK),
                "CHUNK_SYNC_PATIENCE_SECONDS": "0",
                "CHUNK_SYNC_RUN_THREADS": "1",
            }
        )
        self.parts = Parts(database, settings, source_opener(settings))
        move_clock(database, "0 seconds")
        self.box = add_mailbox(
            database,
            name="box",
            address=address or proxy.address_of(user),
            provider="imap",
            credential=f"file:{secret}",
        )

    @contextmanager
    def gives_up_soon(self) -> Iterator[None]:
        """Wait for an answer for a moment only, but on without end while the proxy has something to say."""
        patient, parts = ImapWire.wait_for_bytes, self.parts

        def wait_for_bytes(wire: ImapWire, buffer: WriteableBuffer) -> int:
            while True:
                left, is_silent = wire._patience, wire.sock.getsockname() in self.proxy.silent
                try:
                    return patient(wire, buffer)
                except TimeoutError:
                    if is_silent:  # it was already when the waiting began: nothing is on its way
                        raise
                    wire.allow(left)

        settings = dataclasses.replace(parts.settings, source_timeout_seconds=_MOMENT)
        self.parts = dataclasses.replace(parts, settings=settings, open_mailbox=source_opener(settings))
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(ImapWire, "wait_for_bytes", wait_for_bytes)
            yield
        self.parts = parts

    def hear_out(self) -> None:
        """Wait for all that was said so far, and forget it."""
        self.proxy.hear_out()
        self.proxy.commands.clear()

    def request(self, sync_type: str | None = None) -> int:
        """Ask for a sync; returns the job."""
        return request_sync(self.database, "box", sync_type=sync_type).job_id

    def plan(self, job_id: int) -> PlanOutcome | None:
        """Plan a job as a plan run does."""
        return plan(self.parts, job_id)

    def run(self) -> None:
        """Run whatever is due."""
        run_due(self.parts)

    def planned(self, sync_type: str | None = None) -> int:
        """Ask for a sync and plan it; returns the job."""
        job_id = self.request(sync_type)
        outcome = self.plan(job_id)
        assert outcome is not None
        assert outcome.result is not None, outcome.error
        return job_id

    def settle(self, job_id: int) -> dict[str, Any]:
        """Let time pass until the job has ended; its row."""
        for _ in range(_ROUNDS):
            job = job_row(self.database, job_id)
            if job["status"] not in _OPEN:
                return job
            self.pass_time(job_id)
            if job["status"] == "requested":
                self.plan(job_id)
            else:
                self.run()
        message = f"job {job_id} does not end: {self.failures()}"
        raise AssertionError(message)

    def sync(self, sync_type: str | None = None) -> dict[str, Any]:
        """Request, plan and run until the job has ended; its row."""
        return self.settle(self.request(sync_type))

    def due_in(self, job_id: int) -> float:
        """Seconds until the job's plan, or its first pending chunk, is due again, pauses included."""
        return self.database.execute(
            "SELECT greatest(0, extract(EPOCH FROM coalesce(min(CASE WHEN j.status = 'requested'"
            " THEN j.plan_available_at ELSE greatest(q.available_at, l.not_before) END), clock()) - clock()))"
            "::double precision AS seconds"
            " FROM sync_jobs AS j JOIN mailbox_lanes AS l ON l.mailbox_id = j.mailbox_id"
            " LEFT JOIN chunk_processing_queue AS q ON q.sync_job_id = j.id AND q.status = 'pending' WHERE j.id = %s",
            (job_id,),
        )[0]["seconds"]

    def pass_time(self, job_id: int) -> None:
        """Jump to the moment at which something of the job is due."""
        seconds = self.due_in(job_id)
        if seconds:
            move_clock(self.database, f"{seconds + 1} seconds")
            self.database.execute("SELECT wake_lanes(100)")

    def failures(self) -> list[Failure]:
        """List the failed attempts at chunks, in their order."""
        rows = self.database.execute(
            "SELECT error_category::text AS category, error_code AS code,"
            " (suggested_retry_delay_ms / 1000.0)::double precision AS wait"
            " FROM chunked_sync_health_monitoring WHERE status <> 'success' ORDER BY created_at, id"
        )
        return [Failure(**row) for row in rows]

    def attempts(self) -> int:
        """Count the attempts that were used up by chunks."""
        return self.database.execute("SELECT sum(attempts)::integer AS n FROM chunk_processing_queue")[0]["n"]

    def stored(self) -> dict[str, list[str]]:
        """Folder to sorted hashes of the kept bytes of all that is in it: the current epoch, without the vanished."""
        rows = self.database.execute(
            "SELECT f.path, r.data, r.codec, m.raw_sha256 FROM message_locations AS l"
            " JOIN folders AS f ON f.id = l.folder_id AND f.uidvalidity = l.uidvalidity"
            " JOIN messages AS m ON m.id = l.message_id"
            " JOIN message_raw AS r ON r.tenant_id = m.tenant_id AND r.sha256 = m.raw_sha256"
            " WHERE to_jsonb(l) ->> 'vanished_at' IS NULL"
        )
        found: dict[str, list[str]] = {}
        for row in rows:
            raw = zstandard.decompress(row["data"]) if row["codec"] == "zstd" else bytes(row["data"])
            sha256 = hashlib.sha256(raw)
            assert bytes(row["raw_sha256"]) == sha256.digest()
            found.setdefault(row["path"], []).append(sha256.hexdigest())
        return {path: sorted(hashes) for path, hashes in found.items()}

    def served(self) -> dict[str, list[str]]:
        """Folder to sorted hashes of what the server has, by its own files; folders with mail only."""
        return {path: hashes for path, hashes in self.server.snapshot(user=self.user).items() if hashes}

    def check(self, job: dict[str, Any], *, gone: Iterable[str] = ()) -> None:
        """The oracle: the job is complete, all that the server has is stored once and as served, nothing else is.

        `gone` are hashes of messages that were deleted or moved while the sync ran: they may be stored or not.
        """
        assert ("completed", 0) == (job["status"], job["failed_chunks"]), self.failures()
        served, stored, left = self.served(), self.stored(), set(gone)
        for path in served.keys() | stored.keys():
            more = Counter(stored.get(path, [])) - Counter(served.get(path, []))
            missing = Counter(served.get(path, [])) - Counter(stored.get(path, []))
            assert (Counter(), set()) == (missing, more.keys() - left), path
            assert all(count == 1 for count in more.values()), path
        all_served = {sha256 for hashes in served.values() for sha256 in hashes}
        known = self.database.execute("SELECT encode(raw_sha256, 'hex') AS sha256 FROM messages")
        assert len(known) == len({row["sha256"] for row in known})
        assert all_served <= {row["sha256"] for row in known} <= all_served | left
        chunks = self.database.execute(
            "SELECT count(*) AS n FROM sync_chunks AS c JOIN chunk_processing_queue AS q ON q.chunk_id = c.id"
            " WHERE c.sync_job_id = %s AND c.estimated_emails"
            " <> q.emails_inserted + q.emails_unchanged + q.emails_absent + q.emails_quarantined",
            (job["id"],),
        )
        assert 0 == chunks[0]["n"]
