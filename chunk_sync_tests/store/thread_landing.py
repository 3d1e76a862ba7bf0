"""Landings as threads see them: messages and their threads, in one transaction."""

from __future__ import annotations

from collections.abc import Iterable
from types import SimpleNamespace
from typing import Any

from psycopg.types.json import Jsonb

from chunk_sync.store.database import Connection, Database
from chunk_sync.store.mailboxes import Mailbox
from chunk_sync.store.threads import thread_landed
from chunk_sync_tests.thread_model import Mail

_INSERT = """
INSERT INTO messages (
    tenant_id, mailbox_id, raw_sha256, size, message_id, in_reply_to, reference_ids, subject, from_address,
    to_addresses, cc_addresses, sent_at, snippet, parse_status
) VALUES (%s, %s, %s, 1, %s, %s, %s, %s, %s, %s, %s, %s, %s, 'ok')
ON CONFLICT (mailbox_id, raw_sha256) DO NOTHING RETURNING id
"""


def insert(conn: Connection, box: Mailbox, mails: Iterable[Mail]) -> dict[int, Mail]:
    """Insert messages as a landing does; those that are new, by their ids. The snippet is the mail's name."""
    new: dict[int, Mail] = {}
    for mail in sorted(mails, key=lambda mail: mail.raw_sha256):
        row = conn.execute(
            _INSERT,
            (
                box.tenant_id,
                box.id,
                mail.raw_sha256,
                mail.message_id,
                mail.in_reply_to,
                list(mail.reference_ids),
                mail.subject,
                mail.from_address,
                Jsonb(mail.to_addresses),
                Jsonb(mail.cc_addresses),
                mail.sent_at,
                mail.name,
            ),
        ).fetchone()
        if row is not None:
            new[row["id"]] = mail
    return new


def land(database: Database, box: Mailbox, *chunks: Iterable[Mail]) -> None:
    """Land chunks, each in a transaction of its own."""
    for chunk in chunks:
        with database.transaction() as conn:
            thread_landed(conn, chunk_of(box), insert(conn, box, chunk))  # type: ignore[arg-type]


def chunk_of(box: Mailbox) -> Any:
    """What threads need of a chunk."""
    return SimpleNamespace(tenant_id=box.tenant_id, mailbox_id=box.id)


def found(database: Database, box: Mailbox, column: str = "thread_id") -> dict[int, frozenset[str]]:
    """The messages of each thread, by their names; or of each conversation."""
    rows = database.execute(
        f"SELECT s.{column} AS id, array_agg(m.snippet) AS names FROM messages AS m"  # type: ignore[arg-type]
        " JOIN thread_messages AS x ON x.message_id = m.id JOIN threads AS s ON s.id = x.landed_in"
        f" WHERE m.mailbox_id = %s GROUP BY s.{column}",
        (box.id,),
    )
    return {row["id"]: frozenset(row["names"]) for row in rows}


def together(database: Database, box: Mailbox) -> set[frozenset[str]]:
    """The threads of a mailbox."""
    return set(found(database, box).values())
