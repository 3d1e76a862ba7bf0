"""Hints that a mailbox changed: each becomes at most one incremental sync that waits."""

from __future__ import annotations

from dataclasses import dataclass

from chunk_sync.errors import UsageError
from chunk_sync.store.database import Database, query
from chunk_sync.store.mailboxes import Mailbox, insert_request


@dataclass(frozen=True, slots=True)
class HintOutcome:
    """What became of a hint: the job that was asked for, or None because one waits already or none is wanted yet."""

    job_id: int | None
    is_wanted: bool = True


def hint_change(database: Database, mailbox: Mailbox, *, hinted_by: str) -> HintOutcome:
    """Ask for an incremental sync unless one waits that will see the change; a mailbox's first sync is for people.

    Raises UsageError when the mailbox was removed.
    """
    key = {"mailbox_id": mailbox.id}
    with database.transaction() as conn:
        conn.execute(query("hint_lock"), key)
        found = conn.execute(query("hint_weigh"), key).fetchone()
        if found is None:
            message = f"mailbox {mailbox.name!r} was removed"
            raise UsageError(message)
        if found["is_waiting"] or not found["is_wanted"]:
            return HintOutcome(None, found["is_wanted"])
        asked = {"mailbox": found["name"], "tenant": found["tenant"], "sync_type": "incremental"}
        unbounded = {"sync_from": None, "sync_to": None, "priority": None}
        return HintOutcome(insert_request(conn, asked | unbounded | {"requested_by": hinted_by}).job_id)
