"""Verify a mailbox: compare what the source has with what landed, message by message, by the hash of the bytes."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field

from chunk_sync.domain.chunks import PlannedMessage
from chunk_sync.domain.listing import Listing
from chunk_sync.domain.plan import plan_chunks
from chunk_sync.domain.spans import Span
from chunk_sync.engine.connect import SourceOpener
from chunk_sync.engine.look import chosen_folders
from chunk_sync.mail.source import RawMessage, Snapshot, Source
from chunk_sync.settings import Settings
from chunk_sync.store.database import Database
from chunk_sync.store.mailboxes import Mailbox
from chunk_sync.store.verify import landed_folder, landed_folders

NAMES_SHOWN = 20


@dataclass(frozen=True, slots=True)
class FolderVerdict:
    """One folder compared: counts, and the names (UID, or the source's id) of what is wrong."""

    path: str
    in_source: int
    landed: int
    missing: list[str] = field(default_factory=list[str])
    doubled: list[str] = field(default_factory=list[str])
    different: list[str] = field(default_factory=list[str])
    gone_from_source: int = 0

    @property
    def ok(self) -> bool:
        """Nothing is missing, doubled or different; what was deleted at the source since is not an error."""
        return not (self.missing or self.doubled or self.different)


def verify_mailbox(
    database: Database, settings: Settings, open_mailbox: SourceOpener, mailbox: Mailbox
) -> Iterator[FolderVerdict]:
    """Read the whole mailbox again and compare; a verdict per folder as it is done.

    Reads every message: as long as a sync takes. Raises ProviderError when the source fails.
    """
    known = landed_folders(database, mailbox.id)
    with open_mailbox(mailbox) as source:
        for folder in chosen_folders(source.folders(), mailbox):
            snapshot = source.snapshot(folder)
            known.pop(folder.key, None)
            yield _verify_folder(database, settings, source, mailbox, snapshot)
    for folder in known.values():
        landed = landed_folder(database, mailbox.id, folder.key, folder.uidvalidity)
        yield FolderVerdict(folder.path, 0, len(landed), gone_from_source=len(landed))


def _verify_folder(
    database: Database, settings: Settings, source: Source, mailbox: Mailbox, snapshot: Snapshot
) -> FolderVerdict:
    landed = landed_folder(database, mailbox.id, snapshot.folder.key, snapshot.uidvalidity)
    names = Counter(row.name for row in landed)
    hashes = {row.name: row.sha256 for row in landed}
    in_source = 0
    missing: list[str] = []
    different: list[str] = []
    for name, sha256 in _source_hashes(settings, source, snapshot):
        in_source += 1
        if name not in hashes:
            missing.append(name)
        elif hashes[name] != sha256:
            different.append(name)
        hashes.pop(name, None)
    doubled = [name for name, count in names.items() if count > 1]
    return FolderVerdict(
        path=snapshot.folder.path,
        in_source=in_source,
        landed=len(landed),
        missing=missing,
        doubled=doubled,
        different=different,
        gone_from_source=len(hashes),
    )


def _source_hashes(settings: Settings, source: Source, snapshot: Snapshot) -> Iterator[tuple[str, bytes | None]]:
    """Stream (name, hash) of every message of a folder; the hash is None for one too large to be stored."""
    listing = Listing()
    named: list[PlannedMessage] = []
    for number, message in enumerate(source.list_messages(snapshot), 1):
        if snapshot.uid_next:
            listing.add(message.uid, message.size)
        else:
            named.append(PlannedMessage(number, message.size, message.provider_id))
    messages = listing.newest_first() if snapshot.uid_next else reversed(named)
    for chunk in plan_chunks(messages, max_messages=settings.chunk_messages, max_bytes=settings.chunk_bytes):
        span = Span(snapshot.folder.key, snapshot.uidvalidity, chunk.uids, chunk.provider_ids)
        for fetched in source.fetch(span):
            assert isinstance(fetched, RawMessage)  # noqa: S101 - no message was said to be known
            sha256 = hashlib.sha256(fetched.raw).digest() if fetched.raw is not None else None
            yield fetched.provider_id or str(fetched.uid), sha256
