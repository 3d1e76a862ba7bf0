"""Search, which is off until somebody turns it on: what it needs is made then, and gone when it is turned off."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import LiteralString

import psycopg

from chunk_sync.errors import UsageError
from chunk_sync.store.database import Database

_BATCH = 500


@dataclass(frozen=True, slots=True)
class Found:
    """A message that was found, and how well it fits."""

    message_id: int
    rank: float
    subject: str
    from_name: str | None
    from_address: str | None
    received_at: datetime | None
    mailbox: str
    snippet: str


def enable_search(database: Database) -> Iterator[int]:
    """Turn search on and make findable what has landed before: how many messages have been looked at, as it goes on.

    Each batch commits on its own; done again it goes on with what is missing. Raises UsageError without the right to.
    """
    _as_owner(database, "SELECT enable_search() AS done")
    after, done = 0, 0
    while True:
        rows = database.execute("SELECT * FROM index_for_search(%s, %s)", (after, _BATCH))
        last = rows[0]["index_for_search"]
        if last is None:
            break
        after, done = last, done + _BATCH
        yield done
    with database.owner_transaction() as conn:
        conn.execute("ANALYZE message_search")


def disable_search(database: Database) -> bool:
    """Turn search off, and remove what it needed; False when it was off. Raises UsageError without the right to."""
    return _as_owner(database, "SELECT disable_search() AS done")


def searchable_messages(database: Database) -> int:
    """Count the messages that can be found."""
    return database.rows("search_count")[0]["messages"]


def find_messages(
    database: Database, words: str, *, mailbox: str | None = None, tenant: str | None = None, limit: int = 50
) -> list[Found]:
    """Find messages by their words, the best first; raises UsageError while search is off."""
    parameters = {"query": words.replace("\0", " "), "mailbox": mailbox, "tenant": tenant, "limit": limit}
    try:
        rows = database.rows("search_find", parameters)
    except psycopg.Error as error:
        if error.sqlstate != "CS007":
            raise
        message = "search is off: turn it on with `./chunk-sync search on`"
        raise UsageError(message) from error
    return [Found(**row) for row in rows]


def _as_owner(database: Database, statement: LiteralString) -> bool:
    try:
        with database.owner_transaction() as conn:
            row = conn.execute(statement).fetchone()
    except psycopg.errors.InsufficientPrivilege as error:
        message = "search is turned on and off by the schema's owner: use the login that migrates in CHUNK_SYNC_DSN"
        raise UsageError(message) from error
    return bool(row and row["done"])
