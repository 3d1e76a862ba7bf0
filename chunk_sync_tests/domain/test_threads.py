"""Threads by headers, in memory: whatever the order, the chunks and the retries, the same conversations."""

from __future__ import annotations

import itertools
import time
from collections.abc import Iterable, Sequence
from datetime import timedelta

from hypothesis import given, settings

from chunk_sync.domain.threads import Conversation, Joined, Letter, join, put_together, read_letter
from chunk_sync_tests.thread_model import ANN, BEGINNING, BOB, EVE, Mail, conversations, deliveries


def letter(mail: Mail, number: int = 1) -> Letter:
    """Read a mail as a landing does."""
    return read_letter(
        number,
        mail.raw_sha256,
        mail.sent_at,
        own_id=mail.message_id,
        answers=(mail.in_reply_to, *mail.reference_ids),
        subject=mail.subject,
        sender=mail.from_address,
        recipients=(*mail.to, *mail.cc),
    )


class Store:
    """What the database would keep: ids of messages, of header ids and of conversations."""

    def __init__(self) -> None:
        self.number: dict[str, int] = {}
        self.known: dict[str, Conversation] = {}
        self.members: dict[int, list[str]] = {}
        self.next = 1

    def land(self, mails: Iterable[Mail]) -> list[Joined]:
        """Land a chunk; what is there already is left out."""
        new = {len(self.number) + n: mail for n, mail in enumerate(m for m in mails if m.name not in self.number)}
        self.number.update({mail.name: number for number, mail in new.items()})
        joined = join([letter(mail, number) for number, mail in new.items()], self.known)
        for one in joined:
            self._write(one, {number: mail.name for number, mail in new.items()})
        return joined

    def _write(self, one: Joined, names: dict[int, str]) -> None:
        age = min(letter.age for letter in one.letters)
        old = [c for c in self.known.values() if c.id in {one.id, *one.merged}]
        age = min([age, *(c.age for c in old if c.age is not None)])
        id_ = one.id or self.next
        self.next += one.id is None
        conversation = Conversation(id_, id_, one.first, age, one.parent)
        mentioned = {h for h, c in self.known.items() if c.id in {one.id, *one.merged}} | {*one.header_ids}
        self.known.update(dict.fromkeys(mentioned, conversation))
        parts = [self.members.pop(merged) for merged in one.merged]
        self.members.setdefault(id_, []).extend(itertools.chain(*parts, (names[m.message_id] for m in one.letters)))

    @property
    def conversations(self) -> set[frozenset[str]]:
        """What is together."""
        return {frozenset(names) for names in self.members.values()}


def landed(*chunks: Sequence[Mail]) -> set[frozenset[str]]:
    """The conversations after these landings."""
    store = Store()
    for chunk in chunks:
        store.land(chunk)
    return store.conversations


@settings(deadline=None)
@given(deliveries(25))
def test_b29_any_order_any_chunks_any_retries(chunks: list[list[Mail]]) -> None:
    """However mail arrives, its conversations are those of the whole."""
    mails = {mail.name: mail for chunk in chunks for mail in chunk}
    assert conversations(mails.values()) == landed(*chunks)


@settings(deadline=None)
@given(deliveries(25))
def test_the_first_message_is_the_earliest(chunks: list[list[Mail]]) -> None:
    """A conversation is told by the earliest message that has landed, by date and then hash."""
    store = Store()
    mails: dict[int, Mail] = {}
    for chunk in chunks:
        joined = store.land(chunk)
        mails |= {store.number[mail.name]: mail for mail in chunk}
        for one in joined:
            names = store.members[next(c for c, m in store.members.items() if set(m) & _names(one, mails))]
            first = min((mail for mail in mails.values() if mail.name in names), key=lambda mail: mail.age)
            assert first == mails[one.first]


def _names(one: Joined, mails: dict[int, Mail]) -> set[str]:
    return {mails[letter.message_id].name for letter in one.letters}


CHAIN = [
    Mail("1", "a"),
    Mail("2", "b", in_reply_to="a"),
    Mail("3", "c", in_reply_to="b", reference_ids=("a", "b")),
    Mail("4", "d", reference_ids=("x", "c")),
    Mail("5", "e", in_reply_to="x"),
]


def test_b29_every_permutation_of_a_chain() -> None:
    """120 orders, one message a landing and all in one: one conversation, with a parent that never came."""
    for order in itertools.permutations(CHAIN):
        assert {frozenset("12345")} == landed(order) == landed(*([mail] for mail in order))


def test_b30_a_bridge_merges_into_the_oldest() -> None:
    """Three conversations that one message links are one, which keeps the id of the oldest."""
    store = Store()
    store.land([Mail("1", "a")])
    store.land([Mail("2", "b"), Mail("3", "c")])
    (one,) = store.land([Mail("4", "d", in_reply_to="c", reference_ids=("b", "a"))])
    assert (1, [2, 3], {1, 2, 3}) == (one.id, one.merged, one.threads)
    assert {frozenset("1234")} == store.conversations


def test_siblings_of_a_phantom_parent() -> None:
    """Two replies to a message that nobody has are together, in two landings too."""
    siblings = Mail("1", "a", in_reply_to="x"), Mail("2", "b", reference_ids=("x",))
    assert {frozenset("12")} == landed(siblings) == landed(siblings[:1], siblings[1:])


def test_odd_headers() -> None:
    """A reply to itself, loops, the same id on different mail, and no id at all."""
    assert {frozenset("1")} == landed([Mail("1", "a", in_reply_to="a", reference_ids=("a", "a"))])
    assert {frozenset("12")} == landed([Mail("1", "a", "b")], [Mail("2", "b", "a", ("b", "a"))])
    assert {frozenset("12")} == landed([Mail("1", "a")], [Mail("2", "a", about="something else")])
    assert {frozenset("1"), frozenset("2")} == landed([Mail("1"), Mail("2")])
    assert {frozenset("1"), frozenset("2")} == landed([Mail("1", "", "", ("",)), Mail("2", "", "", ("",))])
    assert {frozenset("1"), frozenset("2")} == landed([Mail("1", "a"), Mail("2", "A")])


def test_thousands_of_references() -> None:
    """A message may speak of 5,000 others, and 5,000 may hang on one chain."""
    many = [f"id{n}" for n in range(5000)]
    began = time.thread_time()
    chain = [Mail(name, name, in_reply_to=f"id{n - 1}") for n, name in enumerate(many)]
    assert 1 == len(landed([Mail("all", "z", reference_ids=many)], chain))
    assert 1 == len(landed(chain[::-1]))
    assert time.thread_time() - began < 5


def test_b31_headers_never_join_what_shares_a_subject() -> None:
    """Subject, people and day alike: without a common id they are two."""
    assert {frozenset("12"), frozenset("34")} == landed(
        [Mail("1", "a"), Mail("2", "b", "a", prefix="Re: "), Mail("3", "c"), Mail("4", "d", "c", prefix="Re: ")]
    )


def test_what_is_a_reply_without_headers() -> None:
    """The subject says so and no header does; it needs a date and a subject of its own."""
    reply = Mail("1", "a", prefix="Re: ")
    assert letter(reply).is_reply
    for other in (
        Mail("1", "a"),
        Mail("1", "a", in_reply_to="b", prefix="Re: "),
        Mail("1", "a", reference_ids=("b",), prefix="Re: "),
        Mail("1", "a", prefix="Fwd: "),
        Mail("1", "a", prefix="Re: ", about=""),
        Mail("1", "a", prefix="Re: ", sent_at=None),
    ):
        assert not letter(other).is_reply
    assert letter(Mail("1", "a", "", ("",), prefix="Re: ")).is_reply


def test_people_are_compared_without_case() -> None:
    """Sender and recipients, copies included, each once."""
    ours = letter(Mail("1", from_address=ANN, to=(BOB, "Ann@EXAMPLE.com"), cc=(EVE, "")))
    assert (ours.people, ours.sender) == (
        letter(Mail("1", from_address=f" {ANN.upper()} ", to=(EVE, BOB))).people,
        letter(Mail("2", from_address=ANN)).sender,
    )
    assert 3 == len(ours.people)


def test_an_earlier_message_takes_the_parent_away() -> None:
    """A reply that joined by its subject leaves when its conversation gets an earlier message; a later one does not."""
    reply = letter(Mail("1", "a", prefix="Re: "))
    stored = Conversation(7, 3, 1, reply.age, parent=5)
    earlier = letter(Mail("2", "b", reference_ids=("a",), sent_at=BEGINNING - timedelta(days=1)), 2)
    later = letter(Mail("3", "c", reference_ids=("a",), sent_at=BEGINNING + timedelta(days=1)), 3)
    known = dict.fromkeys(reply.header_ids, stored)
    (one,) = join([earlier], known)
    assert (2, None, True, {3}) == (one.first, one.parent, one.changed, one.threads)
    (other,) = join([later], known)
    assert (1, 5, False, set()) == (other.first, other.parent, other.changed, other.threads)


def test_a_thread_has_the_number_of_its_oldest_conversation() -> None:
    """Conversations that join each other, over any number of others, are one thread."""
    assert {2: 2, 3: 3, 5: 2, 7: 2, 9: 3} == put_together({7: 5, 2: 7, 5: None, 9: 3, 3: None})
