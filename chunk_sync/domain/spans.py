"""Spans: the frozen set of messages that a chunk covers, and UID sets as IMAP writes them. Pure.

A span names messages by UID within one epoch (UIDVALIDITY) of one folder, never by offset, so it
means the same messages whatever arrives or is deleted during the sync (known fault B20).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

UidRange = tuple[int, int]

_UID_SET = re.compile(r"\d+(:\d+)?(,\d+(:\d+)?)*")


@dataclass(frozen=True, slots=True)
class UidSet:
    """A set of UIDs as ascending, disjoint, closed ranges: `1:40,45`."""

    ranges: tuple[UidRange, ...]

    @classmethod
    def of(cls, uids: Iterable[int]) -> UidSet:
        """Build from UIDs in any order; neighbours are joined."""
        ranges: list[UidRange] = []
        for uid in sorted(set(uids)):
            if ranges and uid == ranges[-1][1] + 1:
                ranges[-1] = (ranges[-1][0], uid)
            else:
                ranges.append((uid, uid))
        return cls(tuple(ranges))

    @classmethod
    def parse(cls, text: str) -> UidSet:
        """Read `1:40,45`; raises ValueError on anything else. Reversed and touching ranges are put right."""
        if not text:
            return cls(())
        if not _UID_SET.fullmatch(text):
            message = f"not a UID set: {text[:60]!r}"
            raise ValueError(message)
        merged: list[UidRange] = []
        pairs = (part.partition(":") for part in text.split(","))
        for low, high in sorted(sorted((int(a), int(b or a))) for a, _, b in pairs):
            if merged and low <= merged[-1][1] + 1:
                merged[-1] = (merged[-1][0], max(high, merged[-1][1]))
            else:
                merged.append((low, high))
        return cls(tuple(merged))

    def __str__(self) -> str:
        return ",".join(f"{low}:{high}" if high > low else f"{low}" for low, high in self.ranges)

    def __iter__(self) -> Iterator[int]:
        for low, high in self.ranges:
            yield from range(low, high + 1)

    def __len__(self) -> int:
        return sum(high - low + 1 for low, high in self.ranges)

    def __contains__(self, uid: object) -> bool:
        return isinstance(uid, int) and any(low <= uid <= high for low, high in self.ranges)


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
