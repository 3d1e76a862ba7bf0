"""Landing: idempotent, fenced, all or nothing."""

from __future__ import annotations

import hashlib
import threading
from datetime import UTC, datetime

import pytest
import zstandard

from chunk_sync.domain.chunks import ClaimedChunk, LandedCounts
from chunk_sync.errors import LeaseLost
from chunk_sync.store import queue
from chunk_sync.store.database import Database
from chunk_sync.store.message_rows import AttachmentRow, LocationRow, MessageRow
from chunk_sync.store.messages import AttemptFigures, Page, land_chunk
from chunk_sync_tests.factory import claim, make_job, make_mailbox, open_worker

TABLES = ("messages", "message_bodies", "message_raw", "message_locations", "attachments", "quarantined_messages")


def message(raw: bytes) -> MessageRow:
    """Build a message with everything that it can have."""
    return MessageRow(
        raw_sha256=hashlib.sha256(raw).digest(),
        size=len(raw),
        codec="zstd",
        data=zstandard.compress(raw),
        message_id=f"<{raw.decode()}@example.com>",
        in_reply_to=None,
        reference_ids=["<a@example.com>"],
        subject="ünïcode ✓",
        from_name="Ann",
        from_address="ann@example.com",
        to_addresses=[{"name": "", "address": "bob@example.com"}],
        cc_addresses=[],
        bcc_addresses=[],
        direction="incoming",
        sent_at=datetime(2026, 1, 1, tzinfo=UTC),
        received_at=None,
        snippet="hello",
        parse_status="ok",
        defects=[],
        headers=[("Subject", "x")],
        body_text="hello",
        body_html=None,
        attachments=[AttachmentRow("2", "a.pdf", "application/pdf", None, 3, b"\1" * 32, is_inline=False)],
    )


def land(
    database: Database, chunk: ClaimedChunk, raws: list[bytes], *, first_uid: int, seen: bool = False
) -> LandedCounts:
    """Land messages at ascending UIDs."""
    rows = {row.raw_sha256: row for row in map(message, raws)}
    places = [
        LocationRow(first_uid + i, hashlib.sha256(raw).digest(), len(raw), None, ["\\Seen"] if seen else [], None)
        for i, raw in enumerate(raws)
    ]
    figures = AttemptFigures(5, None, {"fetch_ms": 1.0})
    return land_chunk(database, chunk, Page(rows, places, {}), LandedCounts(), (), lambda: figures)


def dump(database: Database) -> dict[str, list[str]]:
    """Read every byte of every landed row."""
    return {t: [r["t"] for r in database.execute(f"SELECT t::text FROM {t} AS t ORDER BY t::text")] for t in TABLES}


def test_b25_every_message_is_accounted_for(database: Database) -> None:
    """Requested = inserted + unchanged + absent + quarantined, and the chunk is completed with the messages."""
    job = make_job(database, make_mailbox(database), chunks=1, emails=5)
    chunk = claim(database, job, open_worker(database))[0]
    rows = {row.raw_sha256: row for row in map(message, [b"a", b"b"])}
    places = [
        LocationRow(1, hashlib.sha256(b"a").digest(), 1, None, [], None),
        LocationRow(2, hashlib.sha256(b"b").digest(), 1, None, [], None),
        LocationRow(3, hashlib.sha256(b"a").digest(), 1, None, [], None),
        LocationRow(4, None, 10**9, None, [], None),
    ]
    counts = land_chunk(database, chunk, Page(rows, places, {}), LandedCounts(), (5,), lambda: AttemptFigures(5, 1, {}))
    assert LandedCounts(inserted=3, unchanged=0, absent=1, quarantined=1, bytes=3) == counts
    assert [2, 2, 2, 3, 2, 1] == [len(rows) for rows in dump(database).values()]
    assert "completed" == database.execute("SELECT status::text FROM sync_jobs")[0]["status"]


def test_b26_a_second_run_changes_nothing(database: Database, owner: Database) -> None:
    """The same chunk landed again leaves every row byte-equal, also the columns that users own."""
    job = make_job(database, make_mailbox(database), chunks=1, emails=3)
    worker = open_worker(database)
    land(database, claim(database, job, worker)[0], [b"a", b"b", b"c"], first_uid=1)
    owner.execute("ALTER TABLE messages ADD COLUMN assignee text")
    database.execute("UPDATE messages SET assignee = 'me'")
    before = dump(database)
    queue.reopen_chunk(database, job.chunk_ids[0], reason="again", actor="me", run_id=None)
    counts = land(database, claim(database, job, worker)[0], [b"a", b"b", b"c"], first_uid=1)
    assert LandedCounts(inserted=0, unchanged=3, absent=0, quarantined=0, bytes=3) == counts
    assert before == dump(database)


def test_flags_follow_the_mailbox(database: Database) -> None:
    """A message that was read since has its flag after a second run, and nothing else differs."""
    job = make_job(database, make_mailbox(database), chunks=1, emails=1)
    worker = open_worker(database)
    land(database, claim(database, job, worker)[0], [b"a"], first_uid=1)
    queue.reopen_chunk(database, job.chunk_ids[0], reason="again", actor="me", run_id=None)
    land(database, claim(database, job, worker)[0], [b"a"], first_uid=1, seen=True)
    assert [{"flags": ["\\Seen"]}] == database.execute("SELECT flags FROM message_locations")


def test_b09_a_zombie_lands_nothing(database: Database) -> None:
    """A landing with a stale lease leaves no row behind: it is one transaction with its completion."""
    job = make_job(database, make_mailbox(database), chunks=1, emails=1)
    worker = queue.open_worker(database, "old", 60, "run-1")
    old = claim(database, job, worker)[0]
    queue.recover(database, ["run-1"])
    with pytest.raises(LeaseLost):
        land(database, old, [b"a"], first_uid=1)
    assert [0] * 6 == [len(rows) for rows in dump(database).values()]


def test_b28_the_same_mail_in_two_mailboxes_is_two_messages(database: Database) -> None:
    """Dedupe is per mailbox; the raw bytes are kept once per tenant."""
    worker = open_worker(database)
    for name in ("one", "two"):
        job = make_job(database, make_mailbox(database, name), chunks=1, emails=1)
        land(database, claim(database, job, worker)[0], [b"a"], first_uid=1)
    assert (2, 1) == (len(dump(database)["messages"]), len(dump(database)["message_raw"]))


def test_chunks_that_share_messages_land_at_once_without_deadlock(database: Database) -> None:
    """Four chunks with the same hundred messages in opposite orders: each message once, four places."""
    job = make_job(database, make_mailbox(database), chunks=4, emails=100)
    chunks = claim(database, job, open_worker(database), limit=4)
    raws = [f"m{i}".encode() for i in range(100)]
    barrier = threading.Barrier(4)
    failures: list[BaseException] = []

    def run(number: int) -> None:
        barrier.wait()
        try:
            order = raws if number % 2 else raws[::-1]
            land(database, chunks[number], order, first_uid=chunks[number].span.uids.ranges[0][0])
        except BaseException as error:  # noqa: BLE001 - shown by the test
            failures.append(error)

    threads = [threading.Thread(target=run, args=(i,)) for i in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [] == failures
    assert (100, 400) == (len(dump(database)["messages"]), len(dump(database)["message_locations"]))
