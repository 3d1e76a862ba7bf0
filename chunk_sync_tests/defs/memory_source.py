"""A mailbox in memory: one folder whose messages are made as they are asked for, and fail as they are told."""

from __future__ import annotations

import threading
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from typing import Self

from chunk_sync.domain.spans import Span, UidSet
from chunk_sync.errors import ErrorCategory, ProviderError
from chunk_sync.mail.source import KnownMessage, ListedMessage, RawMessage, Snapshot, SourceFolder, SourceWithoutUids
from chunk_sync.store.mailboxes import Mailbox

INBOX = SourceFolder("INBOX", "INBOX", "inbox")


@dataclass
class MemoryMail:
    """The mail behind every mailbox: UIDs 1 to `messages`. `open` is what a run opens sources with.

    `failures` are raised one after another when the message of that UID is fetched; `for_ever` each time.
    """

    messages: int = 0
    failures: dict[int, list[ProviderError]] = field(default_factory=dict)
    for_ever: dict[int, ProviderError] = field(default_factory=dict)
    listing_error: ProviderError | None = None
    fetched: list[int] = field(default_factory=list)
    opened: list[str] = field(default_factory=list)
    closed: int = 0
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def open(self, mailbox: Mailbox) -> MemorySource:
        """Open a connection."""
        with self._lock:
            self.opened.append(mailbox.name)
        return MemorySource(self)

    def fail(self, uid: int, category: ErrorCategory, times: int = 1) -> None:
        """Have the message of this UID fail so often."""
        self.failures[uid] = [error_of(category) for _ in range(times)]

    def refuse(self, uid: int, category: ErrorCategory = ErrorCategory.PERMISSION) -> None:
        """Have the message of this UID fail for ever."""
        self.for_ever[uid] = error_of(category)

    def take(self, uid: int) -> RawMessage:
        """Give one message, or its next failure."""
        with self._lock:
            self.fetched.append(uid)
            if uid in self.for_ever:
                raise self.for_ever[uid]
            if waiting := self.failures.get(uid):
                raise waiting.pop(0)
        raw = f"From: a@example.org\r\nSubject: message {uid}\r\nMessage-ID: <{uid}@x>\r\n\r\nbody {uid}\r\n".encode()
        return RawMessage(uid, raw, len(raw))

    def note_closed(self) -> None:
        """Count a connection that was closed."""
        with self._lock:
            self.closed += 1


def error_of(category: ErrorCategory) -> ProviderError:
    """Make the error of a provider that says which category it is."""
    return ProviderError(f"the provider says {category}", category, code=category.upper())


class MemorySource(SourceWithoutUids):
    """A `Source` on a `MemoryMail`."""

    def __init__(self, mail: MemoryMail) -> None:
        self._mail = mail

    def folders(self) -> list[SourceFolder]:
        """List the one folder."""
        if self._mail.listing_error:
            raise self._mail.listing_error
        return [INBOX]

    def snapshot(self, folder: SourceFolder) -> Snapshot:
        """Freeze what is there."""
        return Snapshot(folder, 1, self._mail.messages + 1, self._mail.messages)

    def list_messages(self, snapshot: Snapshot, above_uid: int = 0) -> Iterator[ListedMessage]:
        """List messages of 1,000 bytes."""
        return (ListedMessage(uid, 1000) for uid in range(above_uid + 1, snapshot.uid_next))

    def existing(self, snapshot: Snapshot) -> UidSet:
        """List all."""
        return UidSet.of(range(1, snapshot.uid_next))

    def fetch(
        self,
        span: Span,
        known: Collection[int] = (),
        *,
        eager: bool = False,  # noqa: ARG002 - there is no line
    ) -> Iterator[RawMessage | KnownMessage]:
        """Stream a span."""
        return (KnownMessage(uid, ()) if uid in known else self._mail.take(uid) for uid in span.uids)

    def close(self) -> None:
        """Count the goodbye."""
        self._mail.note_closed()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()
