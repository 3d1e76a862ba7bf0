"""One thread's connections to mailboxes, opened when they are first needed."""

from __future__ import annotations

from collections import Counter
from typing import Self

from chunk_sync.engine.connect import SourceOpener
from chunk_sync.mail.source import Source
from chunk_sync.store.database import Database
from chunk_sync.store.mailboxes import Mailbox, mailbox_by_id


class Sources:
    """Connections by mailbox: `with Sources(...) as sources`."""

    def __init__(self, database: Database, open_mailbox: SourceOpener) -> None:
        self._database = database
        self._open_mailbox = open_mailbox
        self._open: dict[int, Source] = {}
        self._mailboxes: dict[int, Mailbox] = {}
        self._requests_before: Counter[int] = Counter()

    def of(self, mailbox_id: int) -> Source:
        """Give the mailbox's connection; raises ProviderError when it cannot be opened."""
        if mailbox_id not in self._open:
            if mailbox_id not in self._mailboxes:
                self._mailboxes[mailbox_id] = mailbox_by_id(self._database, mailbox_id)
            self._open[mailbox_id] = self._open_mailbox(self._mailboxes[mailbox_id])
        return self._open[mailbox_id]

    def drop(self, mailbox_id: int) -> None:
        """Close a mailbox's connection: the next use opens another."""
        if source := self._open.pop(mailbox_id, None):
            source.close()
            self._requests_before[mailbox_id] += source.requests()

    def requests(self, mailbox_id: int) -> int:
        """Count what the mailbox's provider was asked for so far, over all connections."""
        source = self._open.get(mailbox_id)
        return self._requests_before[mailbox_id] + (source.requests() if source else 0)

    def drop_all(self) -> None:
        """Close all connections."""
        for mailbox_id in list(self._open):
            self.drop(mailbox_id)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.drop_all()
