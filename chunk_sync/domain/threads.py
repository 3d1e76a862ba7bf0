"""Threads: which messages are one conversation. Pure: letters and what is known of their ids in, what to write out.

Headers: messages that share an id (their own, or one that they reply to or refer to) are one conversation, also by an
id whose own message never came. So a conversation can only grow, in whatever order messages land.

Subjects: a conversation whose first message is a reply that has lost its headers joins the conversation of the
message that it answers. That one was sent before, so conversations joined like this are trees, and a tree is a thread.
"""

from __future__ import annotations

import hashlib
from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import lru_cache
from typing import Generic, TypeVar

from chunk_sync.domain.subjects import read_subject

Member = TypeVar("Member", bound=Hashable)

Age = tuple[datetime, bytes]
"""The order of messages: when they were sent, those without a date last; in the same second by their hash."""

_NEVER = datetime.max.replace(tzinfo=UTC)


def age_of(sent_at: datetime | None, raw_sha256: bytes) -> Age:
    """Place a message among others by what is in it: the same at whatever time it lands."""
    return sent_at or _NEVER, raw_sha256


@dataclass(frozen=True, slots=True)
class Letter:
    """A new message as threads see it. Ids are hashes: 32 hexadecimal digits of a Message-ID, numbers of the rest."""

    message_id: int
    raw_sha256: bytes
    sent_at: datetime | None
    header_ids: tuple[str, ...]
    subject_key: int | None
    sender: int | None
    people: tuple[int, ...]
    is_reply: bool

    @property
    def age(self) -> Age:
        """Its place among others."""
        return age_of(self.sent_at, self.raw_sha256)


def read_letter(
    message_id: int,
    raw_sha256: bytes,
    sent_at: datetime | None,
    *,
    own_id: str | None,
    answers: Iterable[str | None],
    subject: str,
    sender: str | None,
    recipients: Iterable[str | None],
) -> Letter:
    """Read a letter from a message's fields; `answers` are In-Reply-To and References.

    Without a date or a subject it has no `subject_key`: it neither joins nor is joined by its subject.
    """
    replied_to = [header_id for header_id in answers if header_id]
    about = read_subject(subject)
    key = _number(about.base) if about.base and sent_at else None
    return Letter(
        message_id,
        raw_sha256,
        sent_at,
        tuple(dict.fromkeys(map(_header_id, filter(None, [own_id, *replied_to])))),
        key,
        _person(sender) if sender else None,
        tuple(sorted({_person(address) for address in (sender, *recipients) if address})),
        is_reply=key is not None and about.is_reply and not replied_to,
    )


@dataclass(frozen=True, slots=True)
class Conversation:
    """A stored conversation: its earliest message `first`, None when that was deleted since, with its `age`.

    `parent` is the message that `first` answers by its subject.
    """

    id: int
    thread_id: int
    first: int | None
    age: Age | None
    parent: int | None


@dataclass(slots=True)
class Joined:
    """What headers made of some letters: one conversation, `id` None when it is a new one.

    `header_ids` are those that were not known. `merged` are conversations that are now part of this one. `threads` are
    the threads that have to be put together again; usually none.
    """

    id: int | None
    first: int
    parent: int | None
    changed: bool
    letters: list[Letter]
    header_ids: list[str]
    merged: list[int] = field(default_factory=list[int])
    threads: set[int] = field(default_factory=set[int])


def join(letters: Sequence[Letter], known: Mapping[str, Conversation]) -> list[Joined]:
    """Put letters together by their ids, with each other and with the known conversations of these ids.

    Of several conversations the oldest (with the smallest number) goes on, the others are merged into it.
    """
    sets: _Sets[str | int] = _Sets()
    for letter in letters:
        first, *others = letter.header_ids or (letter.message_id,)
        for other in others:
            sets.unite(first, other)
        for header_id in letter.header_ids:
            if header_id in known:
                sets.unite(header_id, -known[header_id].id)  # never a message's number
    groups: dict[str | int, list[Letter]] = {}
    for letter in letters:
        groups.setdefault(sets.find((letter.header_ids or (letter.message_id,))[0]), []).append(letter)
    return [_joined(group, known) for group in groups.values()]


def _joined(letters: list[Letter], known: Mapping[str, Conversation]) -> Joined:
    header_ids = list(dict.fromkeys(header_id for letter in letters for header_id in letter.header_ids))
    found = {known[header_id].id: known[header_id] for header_id in header_ids if header_id in known}
    conversations = sorted(found.values(), key=lambda conversation: conversation.id)
    earliest = min(letters, key=lambda letter: letter.age)
    first, parent, age = earliest.message_id, None, earliest.age
    for one in conversations:
        if one.first is not None and one.age is not None and one.age < age:
            first, parent, age = one.first, one.parent, one.age
    survivor = conversations[0] if conversations else None
    cut_off = any(one.parent not in {None, parent} for one in conversations)
    return Joined(
        survivor.id if survivor else None,
        first,
        parent,
        changed=survivor is not None and (survivor.first, survivor.parent) != (first, parent),
        letters=letters,
        header_ids=[header_id for header_id in header_ids if header_id not in known],
        merged=[one.id for one in conversations[1:]],
        threads={one.thread_id for one in conversations} if cut_off or len(conversations) > 1 else set(),
    )


def put_together(parents: Mapping[int, int | None]) -> dict[int, int]:
    """Tell the thread of each conversation, given the conversation that it joins by subject: the oldest one's number.

    Has to be given whole threads: of each conversation also those that join it.
    """
    sets: _Sets[int] = _Sets()
    for conversation, parent in parents.items():
        if parent is not None:
            sets.unite(conversation, parent)
    oldest: dict[int, int] = {}
    for conversation in sorted(parents):
        oldest.setdefault(sets.find(conversation), conversation)
    return {conversation: oldest[sets.find(conversation)] for conversation in parents}


class _Sets(Generic[Member]):
    """Disjoint sets; finding one's set costs next to nothing, however long the chain of joins was."""

    def __init__(self) -> None:
        self._above: dict[Member, Member] = {}

    def find(self, member: Member) -> Member:
        above = self._above
        while (up := above.get(member, member)) != member:
            above[member] = member = above.get(up, up)
        return member

    def unite(self, one: Member, other: Member) -> None:
        one, other = self.find(one), self.find(other)
        if one != other:
            self._above[other] = one


@lru_cache(maxsize=4096)
def _person(address: str) -> int:
    return _number(address.strip().casefold())


def _number(text: str) -> int:
    return int.from_bytes(_digest(text)[:8], "big", signed=True)


@lru_cache(maxsize=8192)
def _header_id(text: str) -> str:
    return _digest(text)[:16].hex()


def _digest(text: str) -> bytes:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest()
