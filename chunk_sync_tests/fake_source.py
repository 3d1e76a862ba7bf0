"""A mailbox in memory that obeys the source protocol, and fails when a test says so.

For the engine's own decisions only; what real servers do is tested against real servers.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from datetime import UTC, datetime, timedelta
from typing import Self

from chunk_sync.domain.listing import Changes, FlagTable
from chunk_sync.domain.spans import NO_UIDS, Span, UidSet
from chunk_sync.errors import ErrorCategory, ProviderError
from chunk_sync.mail.source import KnownMessage, ListedMessage, RawMessage, Snapshot, Source, SourceFolder
from chunk_sync.store.mailboxes import Mailbox

START = datetime(2026, 1, 1, tzinfo=UTC)


class FakeMailbox:
    """Folders of messages by UID. `on_fetch(uid)` may raise, or wait, before a message is given out."""

    def __init__(self, *, provider_ids: bool = False) -> None:
        self.folders: dict[str, dict[int, bytes]] = {"INBOX": {}}
        self.uidvalidity = 7
        self.uid_next: dict[str, int] = {}
        self.ids: dict[str, str] = {}
        """Names of folders that survive a renaming."""
        self.provider_ids = provider_ids
        self.on_fetch: Callable[[int], None] = lambda _: None
        self.on_open: Callable[[], None] = lambda: None
        self.hidden: set[int] = set()
        """UIDs that are counted but not listed."""
        self.fetched: list[int] = []
        self.opened = 0
        self.flags: dict[int, tuple[str, ...]] = {}
        self.too_large: set[int] = set()
        """Messages that come without their bytes."""
        self.modseq = 0
        """Above 0: the server counts changes."""
        self.changed: dict[int, int] = {}
        """The count at which a message's flags changed last."""
        self.vanished: list[int] | None = None
        """What the server says has vanished; None: it does not say."""
        self.asked: list[str] = []
        """Questions about changes."""

    def deliver(self, count: int, folder: str = "INBOX") -> list[int]:
        """Add messages; returns their UIDs. Message n was received n hours after the start."""
        box = self.folders.setdefault(folder, {})
        first = max(box, default=0) + 1
        for uid in range(first, first + count):
            box[uid] = f"Message-ID: <{folder}-{uid}@example.com>\r\nSubject: {uid}\r\n\r\nbody {uid}\r\n".encode()
        return list(range(first, first + count))

    def flag(self, uid: int, *flags: str) -> None:
        """Set a message's flags."""
        self.flags[uid] = flags
        if self.modseq:
            self.modseq += 1
            self.changed[uid] = self.modseq

    def expunge(self, *uids: int, folder: str = "INBOX") -> None:
        """Delete messages for good."""
        for uid in uids:
            del self.folders[folder][uid]

    def open(self, _mailbox: Mailbox) -> Source:
        """Open a source, as `source_opener` does."""
        self.opened += 1
        self.on_open()
        return _FakeSource(self)


class _FakeSource:
    def __init__(self, mailbox: FakeMailbox) -> None:
        self._mailbox = mailbox

    def folders(self) -> list[SourceFolder]:
        return [SourceFolder(name, name, "inbox" if name == "INBOX" else None) for name in self._mailbox.folders]

    def snapshot(self, folder: SourceFolder) -> Snapshot:
        box = self._mailbox.folders[folder.key]
        if self._mailbox.provider_ids:
            return Snapshot(folder, 1, 0, len(box))
        mailbox = self._mailbox
        mailbox.uid_next[folder.key] = max([mailbox.uid_next.get(folder.key, 1) - 1, *box]) + 1
        return Snapshot(
            folder,
            mailbox.uidvalidity,
            mailbox.uid_next[folder.key],
            len(box),
            mailbox.modseq,
            mailbox.ids.get(folder.key),
        )

    def requests(self) -> int:
        return len(self._mailbox.fetched)

    def list_messages(self, snapshot: Snapshot, above_uid: int = 0) -> Iterator[ListedMessage]:
        for uid, raw in self._mailbox.folders[snapshot.folder.key].items():
            received = START + timedelta(hours=uid)
            if uid in self._mailbox.hidden:
                continue
            if self._mailbox.provider_ids:
                yield ListedMessage(0, len(raw), received, f"id-{uid}", self._mailbox.flags.get(uid, ()))
            elif above_uid < uid < snapshot.uid_next:
                yield ListedMessage(uid, len(raw), received)

    def changes(self, snapshot: Snapshot, up_to: int, since_modseq: int) -> Changes:
        mailbox = self._mailbox
        mailbox.asked.append(f"changes since {since_modseq}")
        flags = FlagTable()
        counted = 0 < since_modseq <= snapshot.highest_modseq
        for uid in mailbox.folders[snapshot.folder.key]:
            if uid <= up_to and (not counted or mailbox.changed.get(uid, 0) > since_modseq):
                flags.add(uid, mailbox.flags.get(uid, ()))
        return Changes(flags, UidSet.of(mailbox.vanished or ()) if counted else NO_UIDS)

    def existing(self, snapshot: Snapshot) -> UidSet:
        self._mailbox.asked.append("existing")
        return UidSet.of(uid for uid in self._mailbox.folders[snapshot.folder.key] if uid < snapshot.uid_next)

    def fetch(
        self,
        span: Span,
        known: Collection[int] = (),
        *,
        eager: bool = False,  # noqa: ARG002 - there is no line
    ) -> Iterator[RawMessage | KnownMessage]:
        if not self._mailbox.provider_ids and span.uidvalidity != self._mailbox.uidvalidity:
            message = "UIDVALIDITY changed"
            raise ProviderError(message, ErrorCategory.DATA_CONFLICT)
        box = self._mailbox.folders[span.folder_key]
        for i, uid in enumerate(span.uids):
            key = int(span.provider_ids[i].removeprefix("id-")) if span.provider_ids else uid
            flags = self._mailbox.flags.get(key, ())
            if uid in known and key in box:
                yield KnownMessage(uid, flags)
                continue
            self._mailbox.on_fetch(key)
            if key in box:
                self._mailbox.fetched.append(key)
                given = span.provider_ids[i] if span.provider_ids else None
                raw = None if key in self._mailbox.too_large else box[key]
                yield RawMessage(uid, raw, len(box[key]), flags, START + timedelta(hours=key), given)

    def close(self) -> None: ...

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()
