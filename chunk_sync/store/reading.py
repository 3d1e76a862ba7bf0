"""Reading what landed: a message's attachments, bytes and text, and what could not be read or stored."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from chunk_sync.errors import UsageError
from chunk_sync.store.database import Database, Row
from chunk_sync.store.message_rows import AttachmentRow


@dataclass(frozen=True, slots=True)
class Attachment(AttachmentRow):
    """An attachment's metadata as it landed, and whose it is."""

    message_id: int


@dataclass(frozen=True, slots=True)
class KeptBytes:
    """A message's bytes as they are kept, compressed by `codec` (`off`: they are not); None: they are gone."""

    raw_sha256: bytes
    size: int
    codec: str | None
    data: bytes | None


@dataclass(frozen=True, slots=True)
class ReadableMessage:
    """A message for a person. Addresses are dictionaries with `name` and `address`."""

    mailbox: str
    subject: str
    from_name: str | None
    from_address: str | None
    to_addresses: list[dict[str, Any]]
    cc_addresses: list[dict[str, Any]]
    sent_at: datetime | None
    received_at: datetime | None
    folders: list[str]
    flags: list[str]
    size: int
    body_text: str | None
    has_html: bool


PROBLEM_KINDS = ("unparsable", "defective", "quarantined")


@dataclass(frozen=True, slots=True)
class MailProblem:
    """A message that is `unparsable`, `defective` or `quarantined`; of these the last has no `message_id`."""

    tenant_id: int
    mailbox_id: int
    mailbox: str
    folder_id: int
    folder: str
    uid: int
    kind: str
    reasons: list[str]
    size: int
    received_at: datetime | None
    noticed_at: datetime
    message_id: int | None


def message_attachments(database: Database, message_id: int) -> list[Attachment]:
    """List a message's attachments in their order; raises UsageError when there is no such message."""
    rows = database.rows("message_attachments", {"message_id": message_id})
    if not rows:
        raise _no_message(message_id)
    return [Attachment(message_id=message_id, **row) for row in rows if row["part"] is not None]


def kept_bytes(database: Database, message_id: int) -> KeptBytes:
    """Read a message's bytes as they are kept; raises UsageError when there is no such message."""
    row = database.row("message_bytes", {"message_id": message_id})
    if row is None:
        raise _no_message(message_id)
    return KeptBytes(**row)


def readable_message(database: Database, message_id: int) -> ReadableMessage:
    """Read a message; raises UsageError when there is no such message."""
    row = database.row("message_read", {"message_id": message_id})
    if row is None:
        raise _no_message(message_id)
    return ReadableMessage(**row)


def mail_problems(database: Database, *, mailbox_id: int | None = None, limit: int = 50) -> list[MailProblem]:
    """List what could not be read or stored, the newest first: of one mailbox or all."""
    rows = database.rows("problems", {"mailbox_id": mailbox_id, "limit": limit})
    return [MailProblem(**row) for row in rows]


def problem_counts(database: Database, mailbox_id: int | None = None) -> list[Row]:
    """Count messages with a problem by kind and reasons."""
    return database.rows("problem_counts", {"mailbox_id": mailbox_id})


def _no_message(message_id: int) -> UsageError:
    return UsageError(f"no message {message_id}: its number is `id` in the view emails")
