"""Threads in the database: the tail of a landing, and the same for mail that landed without.

Landings of one mailbox take turns here. A handful of statements, however many messages; only what turns out to belong
together otherwise than was known takes a few more. What is decided stands in domain/threads.py, and which message a
reply without headers answers in sql/queries/thread_parents.sql.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import groupby

from chunk_sync.domain.chunks import ClaimedChunk
from chunk_sync.domain.threads import Conversation, Joined, Letter, age_of, join, put_together, read_letter
from chunk_sync.store.database import Connection, Database, Row, query
from chunk_sync.store.message_rows import MessageRow

BATCH = 1000
LATEST = 50
"""Of how many messages with its subject a reply without headers may answer one: so no crowd of them costs much."""


def thread_landed(conn: Connection, chunk: ClaimedChunk, messages: Mapping[int, MessageRow]) -> None:
    """Give new messages, by their ids, their threads; in the landing's transaction, before it locks a lane.

    Messages that have a thread already are left alone.
    """
    letters = [_letter_of_message(message_id, message) for message_id, message in messages.items()]
    _thread(conn, chunk.tenant_id, chunk.mailbox_id, letters)


def thread_unthreaded(database: Database, limit: int = BATCH) -> int:
    """Give every message its thread that has none, at most `limit` a transaction; returns how many there were.

    What a call that broke off has done stays done.
    """
    threaded = after = 0
    while rows := database.rows("thread_missing", {"after": after, "limit": limit}):
        after = rows[-1]["id"]
        for place, found in groupby(sorted(rows, key=_place), key=_place):
            with database.transaction() as conn:
                threaded += _thread(conn, *place, [_letter_of_row(row) for row in found])
    return threaded


def _place(row: Row) -> tuple[int, int]:
    return row["tenant_id"], row["mailbox_id"]


def _thread(conn: Connection, tenant_id: int, mailbox_id: int, letters: Sequence[Letter]) -> int:
    """Give letters of a mailbox their threads; returns how many had none."""
    if not letters:
        return 0
    place = {"tenant_id": tenant_id, "mailbox_id": mailbox_id}
    threaded, known = _look_up(conn, place, letters)
    letters = [letter for letter in letters if letter.message_id not in threaded]
    if letters:
        joined = join(letters, known)
        landed_in = _number(conn, joined)
        with conn.pipeline():
            _insert(conn, place, joined, landed_in)
            _merge(conn, joined, landed_in)
            by_subject = _join_by_subject(conn, joined)
        _put_together(conn, by_subject.union(*(one.threads for one in joined)))
    return len(letters)


def _look_up(conn: Connection, place: Row, letters: Sequence[Letter]) -> tuple[set[int], dict[str, Conversation]]:
    """Wait for the mailbox's turn; tell which letters have a thread, and what their ids are known to be part of."""
    ids = list(dict.fromkeys(header_id for letter in letters for header_id in letter.header_ids))
    with conn.pipeline():  # each statement sees what was committed before it began, the second one after the wait
        conn.execute(query("thread_lock"), place)
        has = conn.execute(query("thread_has"), {"message_ids": [letter.message_id for letter in letters]})
        known = conn.execute(query("thread_known"), place | {"ids": ids}, binary=True)
        rows = known.fetchall()
        return {row["message_id"] for row in has.fetchall()}, {ids[row["place"]]: _conversation(row) for row in rows}


def _conversation(row: Row) -> Conversation:
    age = age_of(row["sent_at"], row["raw_sha256"]) if row["message_id"] else None
    return Conversation(row["id"], row["thread_id"], row["message_id"], age, row["parent_message_id"])


def _number(conn: Connection, joined: Sequence[Joined]) -> list[int]:
    """Number the conversations, new ones included."""
    count = sum(one.id is None for one in joined)
    new = iter(conn.execute(query("thread_ids_reserve"), {"count": count}).fetchall() if count else [])
    return [next(new)["id"] if one.id is None else one.id for one in joined]


def _insert(conn: Connection, place: Row, joined: Sequence[Joined], landed_in: Sequence[int]) -> None:
    numbered = list(zip(joined, landed_in, strict=True))
    new = [(one, number) for one, number in numbered if one.id is None]
    conn.execute(
        query("thread_insert"),
        place | {"ids": [number for _, number in new], "firsts": [one.first for one, _ in new]},
    )
    nodes = [(header_id, number) for one, number in numbered for header_id in one.header_ids]
    conn.execute(
        query("thread_node_insert"),
        place | {"ids": [header_id for header_id, _ in nodes], "landed_in": [number for _, number in nodes]},
    )
    members = [(letter, number) for one, number in numbered for letter in one.letters]
    letters = [letter for letter, _ in members]
    conn.execute(
        query("thread_message_insert"),
        place
        | {
            "message_ids": [letter.message_id for letter in letters],
            "landed_in": [number for _, number in members],
            "hashes": [letter.raw_sha256 for letter in letters],
            "sent_at": [letter.sent_at for letter in letters],
            "subject_keys": [letter.subject_key for letter in letters],
            "senders": [letter.sender for letter in letters],
            "people": [f"{{{','.join(map(str, letter.people))}}}" for letter in letters],
            "replies": [letter.is_reply for letter in letters],
        },
    )


def _merge(conn: Connection, joined: Sequence[Joined], landed_in: Sequence[int]) -> None:
    """Write what became of conversations that were there."""
    changed = [one for one in joined if one.changed]
    if changed:
        _write_firsts(conn, [(one.id, one.first, one.parent) for one in changed])
    merged = [(id_, number) for one, number in zip(joined, landed_in, strict=True) for id_ in one.merged]
    if merged:
        conn.execute(
            query("thread_merge"),
            {"merged": [id_ for id_, _ in merged], "conversations": [number for _, number in merged]},
        )


def _join_by_subject(conn: Connection, joined: Sequence[Joined]) -> set[int]:
    """Let replies without headers join what they answer; returns the threads that this changes."""
    letters = [letter for one in joined for letter in one.letters if letter.subject_key is not None]
    rows = conn.execute(
        query("thread_parents"), {"message_ids": [letter.message_id for letter in letters], "latest": LATEST}
    ).fetchall()
    if rows:
        _write_firsts(conn, [(row["id"], row["first_message_id"], row["parent_message_id"]) for row in rows])
    return {row[thread] for row in rows for thread in ("thread_id", "parent_thread_id")} - {None}


def _write_firsts(conn: Connection, rows: Sequence[tuple[int | None, int, int | None]]) -> None:
    ids, firsts, parents = map(list, zip(*rows, strict=True))
    conn.execute(query("thread_first"), {"ids": ids, "firsts": firsts, "parents": parents})


def _put_together(conn: Connection, threads: set[int]) -> None:
    """Tell the conversations of these threads anew which thread they are part of."""
    if not threads:
        return
    rows = conn.execute(query("thread_conversations"), {"threads": [*threads]}).fetchall()
    thread_of = put_together({row["id"]: row["parent_id"] for row in rows})
    conn.execute(
        query("thread_put_together"),
        {"threads": [*threads], "conversations": [*thread_of], "new": [*thread_of.values()]},
    )


def _letter_of_message(message_id: int, message: MessageRow) -> Letter:
    return read_letter(
        message_id,
        message.raw_sha256,
        message.sent_at,
        own_id=message.message_id,
        answers=(message.in_reply_to, *message.reference_ids),
        subject=message.subject,
        sender=message.from_address,
        recipients=_addresses(message.to_addresses, message.cc_addresses),
    )


def _letter_of_row(row: Row) -> Letter:
    return read_letter(
        row["id"],
        row["raw_sha256"],
        row["sent_at"],
        own_id=row["message_id"],
        answers=(row["in_reply_to"], *row["reference_ids"]),
        subject=row["subject"],
        sender=row["from_address"],
        recipients=_addresses(row["to_addresses"], row["cc_addresses"]),
    )


def _addresses(*fields: Iterable[Mapping[str, str]]) -> list[str | None]:
    return [person.get("address") for field in fields for person in field]
