"""Spans: the frozen set of messages that a chunk covers, and UID sets as IMAP writes them. Pure.

A span names messages by UID within one epoch (UIDVALIDITY) of one folder, never by offset, so it
means the same messages whatever arrives or is deleted during the sync (known fault B20).
"""

from __future__ import annotations

import bisect
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import pairwise
from operator import itemgetter

UidRange = tuple[int, int]

_UID_SET = re.compile(r"\d+(:\d+)?(,\d+(:\d+)?)*")


@dataclass(frozen=True, slots=True)
class UidSet:
    """A set of UIDs as ascending, disjoint, closed ranges: `1:40,45`."""

    ranges: tuple[UidRange, ...]

    @classmethod
    def of(cls, uids: Iterable[int]) -> UidSet:
        """Build from UIDs in any order; neighbours are joined. Ascending ones cost no more than their ranges."""
        ranges: list[UidRange] = []
        low = high = -1
        for uid in uids:
            if uid == high + 1 and high >= 0:
                high = uid
                continue
            if high >= 0:
                ranges.append((low, high))
            low = high = uid
        if high >= 0:
            ranges.append((low, high))
        return cls.joined(ranges)

    @classmethod
    def joined(cls, ranges: Iterable[UidRange]) -> UidSet:
        """Build from closed ranges in any order, which may overlap."""
        return cls(_merged(list(ranges)))

    @classmethod
    def parse(cls, text: str) -> UidSet:
        """Read `1:40,45`; raises ValueError on anything else. Reversed and touching ranges are put right."""
        if not text:
            return cls(())
        if not _UID_SET.fullmatch(text):
            message = f"not a UID set: {text[:60]!r}"
            raise ValueError(message)
        pairs = (part.partition(":") for part in text.split(","))
        return cls.joined(_ordered(int(a), int(b or a)) for a, _, b in pairs)

    def up_to(self, last: int) -> UidSet:
        """Keep what is not above `last`."""
        return UidSet(tuple((low, min(high, last)) for low, high in self.ranges if low <= last))

    def __str__(self) -> str:
        return ",".join(f"{low}:{high}" if high > low else f"{low}" for low, high in self.ranges)

    def __iter__(self) -> Iterator[int]:
        for low, high in self.ranges:
            yield from range(low, high + 1)

    def __len__(self) -> int:
        return sum(high - low + 1 for low, high in self.ranges)

    def __contains__(self, uid: object) -> bool:
        if not isinstance(uid, int):
            return False
        place = bisect.bisect_right(self.ranges, uid, key=itemgetter(0))
        return place > 0 and uid <= self.ranges[place - 1][1]


NO_UIDS = UidSet(())


def _ordered(one: int, other: int) -> UidRange:
    return (one, other) if one <= other else (other, one)


def _merged(ranges: list[UidRange]) -> tuple[UidRange, ...]:
    """Put ranges in order and join those that touch."""
    if all(before[1] + 1 < after[0] for before, after in pairwise(ranges)):
        return tuple(ranges)
    merged: list[UidRange] = []
    for low, high in sorted(ranges):
        if merged and low <= merged[-1][1] + 1:
            merged[-1] = (merged[-1][0], max(high, merged[-1][1]))
        else:
            merged.append((low, high))
    return tuple(merged)


@dataclass(frozen=True, slots=True)
class Span:
    """What a chunk asks a source for.

    `folder_key` is the source's own name of the folder. `provider_ids` is None for sources that name
    messages by UID; else it holds the source's ids in the order of the UIDs (archives, Graph, Gmail).
    """

    folder_key: str
    uidvalidity: int
    uids: UidSet
    provider_ids: tuple[str, ...] | None = None
