"""What a look at a folder found, a few bytes a message: a mailbox of ten million fits into memory. Pure."""

from __future__ import annotations

from array import array
from collections.abc import Iterator
from dataclasses import dataclass, field

from chunk_sync.domain.chunks import PlannedMessage
from chunk_sync.domain.spans import NO_UIDS, UidSet


class Listing:
    """UIDs and sizes of messages, 12 bytes a message; sources list UIDs in ascending order, nearly always."""

    def __init__(self) -> None:
        self._uids = array("I")
        self._sizes = array("Q")
        self._ascending = True

    def add(self, uid: int, size: int) -> None:
        """Add a message; `size` in bytes."""
        if self._uids and uid <= self._uids[-1]:
            self._ascending = False
        self._uids.append(uid)
        self._sizes.append(size)

    def newest_first(self) -> Iterator[PlannedMessage]:
        """Give the messages with the highest UID first."""
        places: range | list[int] = range(len(self._uids))
        if not self._ascending:
            places = sorted(places, key=self._uids.__getitem__)
        for place in reversed(places):
            yield PlannedMessage(self._uids[place], self._sizes[place])

    def uids(self) -> UidSet:
        """Give all UIDs."""
        return UidSet.of(self._uids)

    def __len__(self) -> int:
        return len(self._uids)


class FlagTable:
    """Flags of messages by UID, 8 bytes a message: mailboxes know few combinations of flags."""

    def __init__(self) -> None:
        self._uids = array("I")
        self._places = array("I")
        self._known: dict[tuple[str, ...], int] = {}

    def add(self, uid: int, flags: tuple[str, ...]) -> None:
        """Add a message's flags."""
        self._uids.append(uid)
        self._places.append(self._known.setdefault(flags, len(self._known)))

    def __iter__(self) -> Iterator[tuple[int, tuple[str, ...]]]:
        flags = list(self._known)
        return ((uid, flags[place]) for uid, place in zip(self._uids, self._places, strict=True))

    def __len__(self) -> int:
        return len(self._uids)


@dataclass(frozen=True, slots=True)
class Changes:
    """What became of a folder's messages up to some UID since a cursor.

    `flags` of those that may have changed, `vanished` as far as the source said it by itself, `existing`: all that
    are still there, None when nobody has looked.
    """

    flags: FlagTable = field(default_factory=FlagTable)
    vanished: UidSet = NO_UIDS
    existing: UidSet | None = None
