"""The protocol that every mail source speaks, and the values that pass through it.

A source is one connection to one mailbox account, used by one thread. Whatever goes wrong inside, it
raises `ProviderError` (and nothing else), with category, scope and retry hint already decided.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol, Self

from chunk_sync.domain.listing import Changes
from chunk_sync.domain.spans import NO_UIDS, Span, UidSet


@dataclass(frozen=True, slots=True)
class SourceFolder:
    """A folder as the source lists it.

    `key` is the source's own name (what it wants back), `path` the readable one with `/` between
    levels, `role` the special use in lower case without backslash (inbox, sent, drafts, trash, junk,
    archive, all, flagged) or None. One that is not `by_default` shows mail of other folders again, or mail of
    other people: it is synced when the mailbox names it.
    """

    key: str
    path: str
    role: str | None = None
    by_default: bool = True


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A folder at one moment: messages with a UID below `uid_next` in epoch `uidvalidity`.

    Sources without UIDs of their own give `uidvalidity` 1 and `uid_next` 0: the planner then numbers
    their messages by what the database already knows. `highest_modseq` 0: the source does not count its changes;
    `object_id` names the folder whatever it is called, where the source knows such a name.
    """

    folder: SourceFolder
    uidvalidity: int
    uid_next: int
    message_count: int
    highest_modseq: int = 0
    object_id: str | None = None


@dataclass(frozen=True, slots=True)
class ListedMessage:
    """One message in a listing: `uid` 0 where the source has no UIDs, then `provider_id` names it.

    `size` is in bytes as announced; `received_at` is aware (UTC) or None when unknown; `flags` None where a
    listing does not tell them.
    """

    uid: int
    size: int
    received_at: datetime | None = None
    provider_id: str | None = None
    flags: tuple[str, ...] | None = None


@dataclass(frozen=True, slots=True)
class RawMessage:
    """One message as fetched: the exact bytes and what only the mailbox knows of it.

    `raw` is None when the message is larger than the source's cap (`size` says how large): it is then
    recorded as quarantined and never silently dropped.
    """

    uid: int
    raw: bytes | None
    size: int
    flags: tuple[str, ...] = field(default=())
    received_at: datetime | None = None
    provider_id: str | None = None


@dataclass(frozen=True, slots=True)
class KnownMessage:
    """A message that is there and whose bytes were not asked for."""

    uid: int
    flags: tuple[str, ...]


class Source(Protocol):
    """One connection to one mailbox."""

    def requests(self) -> int:
        """Count what the provider was asked for so far: commands or calls of its API."""
        ...

    def folders(self) -> list[SourceFolder]:
        """List the folders that can hold messages, inbox first."""
        ...

    def snapshot(self, folder: SourceFolder) -> Snapshot:
        """Freeze a folder: what is there now. Take it BEFORE listing, so that nothing falls between."""
        ...

    def list_messages(self, snapshot: Snapshot, above_uid: int = 0) -> Iterator[ListedMessage]:
        """List the snapshot's messages with a UID above `above_uid`, without opening them.

        Never yields a message outside the snapshot. Sources without UIDs ignore `above_uid`.
        """
        ...

    def changes(self, snapshot: Snapshot, up_to: int, since_modseq: int) -> Changes:
        """Tell what became of the messages with a UID up to `up_to` since the cursor `since_modseq` (0: none).

        Of sources with UIDs only: the others' listings tell it.
        """
        ...

    def existing(self, snapshot: Snapshot) -> UidSet:
        """List the UIDs of the snapshot that are there now, and nothing else of them."""
        ...

    def fetch(
        self, span: Span, known: Collection[int] = (), *, eager: bool = False
    ) -> Iterator[RawMessage | KnownMessage]:
        """Stream the span's messages, each at most once, in any order; those with a `known` UID without their bytes.

        Sources whose messages can change under their name read all of them whole. `eager`: the sizes that the plan
        knew may be believed, so that bodies are asked for before they are asked about.

        A message of the span that is not yielded is gone from the mailbox: the source has made sure
        of it. A span of an epoch that ended raises `data_conflict`. A cut in mid-stream raises after
        the messages that arrived whole were yielded.
        """
        ...

    def close(self) -> None:
        """Let the connection go; never raises."""
        ...

    def __enter__(self) -> Self: ...

    def __exit__(self, *exc: object) -> None: ...


class SourceWithoutUids:
    """What sources that name messages in their own way have in common: a listing of theirs tells all changes."""

    def requests(self) -> int:
        """Count nothing: there is no provider behind a folder of files."""
        del self
        return 0

    def changes(self, snapshot: Snapshot, up_to: int, since_modseq: int) -> Changes:
        """Know of none: nothing of such a source is asked for by UID."""
        del self, snapshot, up_to, since_modseq
        return Changes()

    def existing(self, snapshot: Snapshot) -> UidSet:
        """Know of none: nothing of such a source is asked for by UID."""
        del self, snapshot
        return NO_UIDS
