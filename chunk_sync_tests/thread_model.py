"""Mail as threads see it, and which of it belongs together: found slowly, from all of it at once."""

from __future__ import annotations

import hashlib
from collections.abc import Hashable, Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from hypothesis import strategies as st

BEGINNING = datetime(2026, 1, 1, tzinfo=UTC)
DAY = timedelta(days=1)
WINDOW = 30 * DAY
REPLY_PREFIXES = ("Re: ", "AW: WG: ", "[list] RE[2]: Re: ", "回复\uff1a")
OTHER_PREFIXES = ("", "Fwd: ", "Fwd: Re: ")
ANN, BOB, EVE, LIST = (f"{name}@example.com" for name in ("ann", "bob", "eve", "list"))


@dataclass(frozen=True)
class Mail:
    """A message; `name` is unique and stands for its bytes, `about` is its subject without the prefix."""

    name: str
    message_id: str | None = None
    in_reply_to: str | None = None
    reference_ids: Sequence[str] = ()
    prefix: str = ""
    about: str = "budget"
    from_address: str | None = ANN
    to: Sequence[str] = (BOB,)
    cc: Sequence[str] = ()
    sent_at: datetime | None = BEGINNING

    @property
    def raw_sha256(self) -> bytes:
        """The hash of its bytes."""
        return hashlib.sha256(self.name.encode()).digest()

    @property
    def subject(self) -> str:
        """The subject as it was written."""
        return self.prefix + self.about

    @property
    def to_addresses(self) -> list[dict[str, str]]:
        """The recipients as they are stored."""
        return [{"name": "", "address": address} for address in self.to]

    @property
    def cc_addresses(self) -> list[dict[str, str]]:
        """The others who got it."""
        return [{"name": "", "address": address} for address in self.cc]

    @property
    def ids(self) -> set[str]:
        """Its own id and those that it speaks of."""
        return {one for one in (self.message_id, self.in_reply_to, *self.reference_ids) if one}

    @property
    def people(self) -> set[str]:
        """Who sent it and who got it."""
        return {one.lower() for one in (self.from_address, *self.to, *self.cc) if one}

    @property
    def is_reply(self) -> bool:
        """Whether it says that it is a reply, and by nothing but its subject."""
        return self.prefix in REPLY_PREFIXES and not self.in_reply_to and not self.reference_ids

    @property
    def key(self) -> str:
        """What is compared of its subject; the tag of a list belongs to it."""
        return ("[list] " if "[list]" in self.prefix else "") + self.about.lower() if self.about else ""

    @property
    def age(self) -> tuple[datetime, bytes]:
        """Its place among others."""
        return self.sent_at or datetime.max.replace(tzinfo=UTC), self.raw_sha256


ORIGINAL = Mail("original", "o")
REPLY = Mail("reply", "r", prefix="Re: ", from_address=BOB, to=(ANN,), sent_at=BEGINNING + 9 * DAY)
ANSWER = Mail("answer", "s", "r", ("r",), prefix="Re: ", sent_at=BEGINNING + 10 * DAY)
BETTER = Mail("better", "q", sent_at=BEGINNING + 8 * DAY)


def may_answer(reply: Mail, other: Mail) -> bool:
    """Whether a reply may be one to this message, as far as subject and date tell."""
    if not (reply.is_reply and reply.key and reply.key == other.key and reply.sent_at and other.sent_at):
        return False
    return timedelta() < reply.sent_at - other.sent_at <= WINDOW


def know(one: Mail, other: Mail) -> bool:
    """Whether the sender of one of them has to do with the other."""
    return (one.from_address or "-").lower() in other.people or (other.from_address or "-").lower() in one.people


def conversations(mails: Iterable[Mail]) -> set[frozenset[str]]:
    """What headers link, by the names of the messages."""
    return {names(part) for part in _overlapping([{mail, *mail.ids} for mail in mails])}


def threads(mails: Sequence[Mail], latest: int = 50) -> set[frozenset[str]]:
    """What is one thread, by the names of the messages; a reply answers one of the `latest` with its subject."""
    parts = _overlapping([{mail, *mail.ids} for mail in mails])
    links: list[set[Hashable]] = []
    for part in parts:
        first = min((one for one in part if isinstance(one, Mail)), key=lambda mail: mail.age)
        recent = sorted((one for one in mails if may_answer(first, one)), key=lambda mail: mail.age)[-latest:]
        if possible := [one for one in recent if know(first, one)]:
            links.append({first, possible[-1]})
    return {names(part) for part in _overlapping([*parts, *links])}


def names(part: Iterable[Hashable]) -> frozenset[str]:
    """The names of the messages among these."""
    return frozenset(one.name for one in part if isinstance(one, Mail))


def _overlapping(sets: Iterable[set[Hashable]]) -> list[set[Hashable]]:
    merged: list[set[Hashable]] = []
    for one in sets:
        apart = [other for other in merged if not other & one]
        merged = [*apart, one.union(*(other for other in merged if other & one))]
    return merged


_IDS = st.sampled_from("abcdefgh")
_TIMES = st.none() | st.sampled_from([0, 1, 2, 29, 30, 31, 60]).map(lambda days: BEGINNING + timedelta(days=days))
_PEOPLE = st.sampled_from([ANN, BOB, EVE, LIST, ANN.upper()])


@st.composite
def mailboxes(draw: st.DrawFn, most: int = 12) -> list[Mail]:
    """Mail with few ids, subjects, people and days, so that everything happens."""
    return [
        Mail(
            name=f"m{number}",
            message_id=draw(st.none() | _IDS),
            in_reply_to=draw(st.none() | st.none() | _IDS),
            reference_ids=draw(st.just(()) | st.just(()) | st.lists(_IDS, max_size=3).map(tuple)),
            prefix=draw(st.sampled_from(REPLY_PREFIXES + OTHER_PREFIXES)),
            about=draw(st.sampled_from(["budget", "Budget", "party", ""])),
            from_address=draw(st.none() | _PEOPLE),
            to=draw(st.lists(_PEOPLE, max_size=2).map(tuple)),
            cc=draw(st.lists(_PEOPLE, max_size=1).map(tuple)),
            sent_at=draw(_TIMES),
        )
        for number in range(draw(st.integers(1, most)))
    ]


@st.composite
def deliveries(draw: st.DrawFn, most: int = 12) -> list[list[Mail]]:
    """A mailbox in any order, cut into any chunks; some of it comes twice."""
    mails = draw(mailboxes(most))
    order = draw(st.permutations(mails + draw(st.lists(st.sampled_from(mails), max_size=3))))
    cuts = sorted(draw(st.sets(st.integers(1, len(order)), max_size=5)))
    return [list(dict.fromkeys(order[a:b])) for a, b in zip([0, *cuts], [*cuts, len(order)], strict=True) if a < b]
