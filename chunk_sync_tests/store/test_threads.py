"""Threads in the database: whatever the order, the chunks, the retries and the rivals, the same threads."""

from __future__ import annotations

import itertools
import random
import re
import threading
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import psycopg
import pytest
from hypothesis import HealthCheck, given, settings

from chunk_sync.demo.mailbox import iter_messages
from chunk_sync.mail.parse import parse_many
from chunk_sync.store import threads
from chunk_sync.store.database import Database
from chunk_sync.store.threads import thread_landed, thread_unthreaded
from chunk_sync_tests import thread_model
from chunk_sync_tests.factory import make_mailbox
from chunk_sync_tests.servers.dovecot import DovecotServer
from chunk_sync_tests.servers.process import ImapServer
from chunk_sync_tests.store.thread_landing import chunk_of, found, insert, land, together
from chunk_sync_tests.thread_model import (
    ANN,
    ANSWER,
    BEGINNING,
    BETTER,
    BOB,
    DAY,
    EVE,
    LIST,
    ORIGINAL,
    REPLY,
    Mail,
    deliveries,
)

_numbers = itertools.count()


def faults(database: Database) -> list[dict[str, object]]:
    """What may never be in the tables: a chain, a thread that is not its oldest conversation, an orphan, a loop."""
    return database.execute("""
        SELECT 'chain' AS fault, t.id FROM threads AS t JOIN threads AS c ON c.id = t.conversation_id
        JOIN threads AS h ON h.id = t.thread_id
        WHERE c.conversation_id <> c.id OR h.thread_id <> h.id OR h.conversation_id <> h.id OR c.thread_id <> h.id
            OR t.mailbox_id <> h.mailbox_id OR t.tenant_id <> h.tenant_id
        UNION ALL
        SELECT 'orphan', x.message_id FROM thread_messages AS x JOIN messages AS m ON m.id = x.message_id
        LEFT JOIN threads AS t ON t.id = x.landed_in AND t.mailbox_id = m.mailbox_id AND x.mailbox_id = m.mailbox_id
        WHERE t.id IS NULL
        UNION ALL
        SELECT 'not earlier', t.id FROM threads AS t JOIN thread_messages AS f ON f.message_id = t.first_message_id
        JOIN thread_messages AS p ON p.message_id = t.parent_message_id
        WHERE t.conversation_id = t.id AND p.sent_at >= f.sent_at
        UNION ALL
        SELECT 'not the oldest', t.thread_id FROM threads AS t GROUP BY t.thread_id HAVING min(t.id) <> t.thread_id
    """)


@settings(deadline=None, max_examples=80, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(chunks=deliveries())
def test_b29_any_order_any_chunks_any_retries(database: Database, chunks: list[list[Mail]]) -> None:
    """However mail arrives, headers and subjects put together what a look at the whole does."""
    box = make_mailbox(database, f"box {next(_numbers)}")
    so_far: dict[str, Mail] = {}
    for chunk in chunks:
        land(database, box, chunk)
        so_far.update({mail.name: mail for mail in chunk})
        assert thread_model.threads([*so_far.values()]) == together(database, box)
    assert thread_model.conversations(so_far.values()) == set(found(database, box, "conversation_id").values())
    assert [] == faults(database)


@settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(chunks=deliveries())
def test_any_order_where_many_share_a_subject(
    database: Database, monkeypatch: pytest.MonkeyPatch, chunks: list[list[Mail]]
) -> None:
    """The same, where a reply looks at two messages before it: what lands between may take its parent away."""
    monkeypatch.setattr(threads, "LATEST", 2)
    box = make_mailbox(database, f"box {next(_numbers)}")
    so_far: dict[str, Mail] = {}
    for chunk in chunks:
        land(database, box, chunk)
        so_far.update({mail.name: mail for mail in chunk})
        assert thread_model.threads([*so_far.values()], latest=2) == together(database, box)
    assert [] == faults(database)


def strangers(count: int, sent_at: datetime, between: timedelta = timedelta()) -> list[Mail]:
    """Replies under the same subject by people who have to do with nobody else, hashed higher than the original."""
    numbered = (
        Mail(f"s{n}", prefix="Re: ", from_address=f"s{n}@example.com", to=(LIST,), sent_at=sent_at + n * between)
        for n in itertools.count()
    )
    return list(itertools.islice((mail for mail in numbered if mail.raw_sha256 > ORIGINAL.raw_sha256), count))


@pytest.mark.parametrize(("sent_at", "between"), [(BEGINNING + DAY, DAY / 99), (BEGINNING, timedelta())])
def test_a_reply_looks_at_so_many_messages(database: Database, sent_at: datetime, between: timedelta) -> None:
    """With 49 strangers' mails of that subject in between it joins; the 50th, though it comes later, parts them."""
    box = make_mailbox(database)
    others = strangers(50, sent_at, between)
    land(database, box, [REPLY, *others[1:]], [ORIGINAL])
    assert frozenset({"original", "reply"}) in together(database, box)
    land(database, box, others[:1])
    assert {frozenset({mail.name}) for mail in (ORIGINAL, REPLY, *others)} == together(database, box)
    assert [] == faults(database)


def test_all_replies_of_one_second_find_their_parent(database: Database) -> None:
    """More replies than one looks at, sent in the same second, join the original that lands after them."""
    box = make_mailbox(database)
    replies = [replace(REPLY, name=f"reply {n}", message_id=None) for n in range(60)]
    land(database, box, replies, [ORIGINAL])
    assert {frozenset({"original", *(mail.name for mail in replies)})} == together(database, box)


def test_of_two_in_the_same_second_the_hash_decides(database: Database) -> None:
    """Whichever of two possible parents lands first, the reply joins the same one."""
    twins = [Mail(f"twin {n}") for n in range(6)]
    last = max(twins, key=lambda mail: mail.raw_sha256)
    for number, order in enumerate((twins, twins[::-1])):
        box = make_mailbox(database, f"box {number}")
        land(database, box, [REPLY], *([mail] for mail in order))
        assert frozenset({last.name, "reply"}) in together(database, box)


def test_b29_every_order_of_a_reply_without_headers(database: Database) -> None:
    """The original, a reply that lost its headers, its answer, and a better original: 24 orders, one outcome."""
    mails = (ORIGINAL, REPLY, ANSWER, BETTER)
    for number, order in enumerate(itertools.permutations(mails)):
        box = make_mailbox(database, f"box {number}")
        land(database, box, *([mail] for mail in order))
        assert {frozenset({"original"}), frozenset({"better", "reply", "answer"})} == together(database, box)
    assert [] == faults(database)


def test_a_thread_keeps_its_first_id(database: Database) -> None:
    """The newest mail comes first: what joins later, by headers or subject, takes the id that people know."""
    box = make_mailbox(database)
    land(database, box, [ANSWER])
    kept = public_ids(database)
    land(database, box, [REPLY], [ORIGINAL])
    assert kept == public_ids(database)
    assert {frozenset({"original", "reply", "answer"})} == together(database, box)


def test_b30_a_bridge_merges_threads_and_their_ids_resolve(database: Database) -> None:
    """Each id that a merged thread had leads to the one thread, in one step, however many merges there were."""
    box = make_mailbox(database)
    land(database, box, *([Mail(name, name)] for name in "abcd"))
    ids = database.execute("SELECT public_id FROM threads ORDER BY id")
    land(
        database, box, [Mail("cd", None, "c", ("d",))], [Mail("bd", None, "b", ("d",))], [Mail("ad", None, "a", ("d",))]
    )
    now = database.execute(
        "SELECT DISTINCT now.public_id FROM threads AS kept JOIN threads AS now ON now.id = kept.thread_id"
        " WHERE kept.public_id = ANY (%s)",
        ([row["public_id"] for row in ids],),
    )
    assert ids[:1] == now == public_ids(database)
    assert {frozenset({"a", "b", "c", "d", "cd", "bd", "ad"})} == together(database, box)
    assert [] == faults(database)


def public_ids(database: Database) -> list[dict[str, object]]:
    """The ids of all threads that people see."""
    return database.execute("SELECT thread_id AS public_id FROM email_threads ORDER BY 1")


OTHERS = {
    "another subject": {"about": "party"},
    "other people": {"from_address": EVE, "to": (LIST,)},
    "31 days later": {"sent_at": BEGINNING + 31 * DAY},
    "at the same moment": {"sent_at": BEGINNING},
    "before it": {"sent_at": BEGINNING - DAY},
    "without a date": {"sent_at": None},
    "without a subject": {"about": ""},
    "no reply": {"prefix": ""},
    "a forward": {"prefix": "Fwd: "},
    "a reply to something else": {"in_reply_to": "x"},
    "a reply that refers to something else": {"reference_ids": ("x",)},
}


@pytest.mark.parametrize("other", OTHERS.values(), ids=OTHERS)
def test_b31_a_subject_alone_joins_nothing(database: Database, other: dict[str, Any]) -> None:
    """A reply without headers joins; with any one of these differences it does not, in either order."""
    fields = {"message_id": "r", "prefix": "Re: ", "from_address": BOB, "to": (ANN,), "sent_at": BEGINNING + 30 * DAY}
    for number, order in enumerate(((0, 1), (1, 0))):
        joins, stays = (make_mailbox(database, f"{what} {number}") for what in ("joins", "stays"))
        original = Mail("original", "o", about=other.get("about", "budget"))
        for box, reply in ((joins, Mail("reply", **fields)), (stays, Mail("reply", **fields | other))):
            first = ORIGINAL if box is joins or other != {"about": ""} else original
            land(database, box, *([(first, reply)[at]] for at in order))
        assert {frozenset({"original", "reply"})} == together(database, joins)
        assert {frozenset({"original"}), frozenset({"reply"})} == together(database, stays)


def test_b31_linked_threads_do_not_merge_by_subject(database: Database) -> None:
    """Two weekly reports with their answers stay two, and the reports of other weeks ones of their own."""
    box = make_mailbox(database)
    mails = [
        Mail(f"{what}{week}", f"{what}{week}", parent and f"{parent}{week}", prefix=prefix, about="weekly report",
             sent_at=BEGINNING + week * DAY)
        for week in range(3)
        for what, parent, prefix in (("report", None, ""), ("answer", "report", "Re: "))
    ]  # fmt: skip
    land(database, box, mails)
    assert {frozenset({f"report{week}", f"answer{week}"}) for week in range(3)} == together(database, box)


def test_headers_that_come_later_beat_the_subject(database: Database) -> None:
    """A guess by subject ends when a message links the reply to what it really belongs to."""
    box = make_mailbox(database)
    real = Mail("real", "x", about="other", sent_at=BEGINNING - DAY)
    link = Mail("link", "l", "r", ("x", "r"), sent_at=BEGINNING + 11 * DAY)
    land(database, box, [ORIGINAL, REPLY], [real])
    assert {frozenset({"original", "reply"}), frozenset({"real"})} == together(database, box)
    land(database, box, [link])
    assert {frozenset({"original"}), frozenset({"reply", "real", "link"})} == together(database, box)
    assert [] == faults(database)


def test_a_second_run_changes_nothing(database: Database) -> None:
    """What has its thread is left alone: every row stays as it is, and so do the messages' own."""
    box = make_mailbox(database)
    with database.transaction() as conn:
        new = insert(conn, box, [ORIGINAL, REPLY, ANSWER])
        thread_landed(conn, chunk_of(box), new)
    before = dump(database)
    with database.transaction() as conn:
        thread_landed(conn, chunk_of(box), new)
    assert 0 == thread_unthreaded(database)
    assert before == dump(database)


def dump(database: Database) -> list[str]:
    """Every row, with where it lies: a row that was written again lies elsewhere."""
    return [
        row["row"]
        for table in ("threads", "thread_nodes", "thread_messages", "messages")
        for row in database.execute(f"SELECT ctid::text || t::text AS row FROM {table} AS t ORDER BY 1")  # type: ignore[arg-type]
    ]


def test_mail_that_landed_before_gets_its_threads(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    """Batches of any mailbox, beside mail that has threads; one that breaks off is gone on with."""
    boxes = [make_mailbox(database, name) for name in ("one", "two")]
    mails = [*itertools.chain(*([Mail(f"{n}", f"a{n}", f"b{n % 7}"), Mail(f"-{n}", f"c{n}")] for n in range(20)))]
    with database.transaction() as conn:
        for mail, box in itertools.product(mails, boxes):
            insert(conn, box, [mail])
    land(database, boxes[0], [Mail("new", "b0", "b1")])
    with monkeypatch.context() as patch:
        patch.setattr(threads, "join", _breaking(5))
        with pytest.raises(RuntimeError):
            thread_unthreaded(database, 9)
    assert 0 < sum(map(len, found(database, boxes[0]).values())) < 41
    left = 81 - database.execute("SELECT count(*)::int AS n FROM thread_messages")[0]["n"]
    assert left == thread_unthreaded(database, 9)
    assert thread_model.threads([*mails, Mail("new", "b0", "b1")]) == together(database, boxes[0])
    assert thread_model.threads(mails) == together(database, boxes[1])
    assert 0 == thread_unthreaded(database, 9)


def _breaking(calls: int) -> Any:
    counter, real = itertools.count(1), threads.join

    def breaks(*arguments: Any) -> Any:
        if next(counter) > calls:
            raise RuntimeError
        return real(*arguments)

    return breaks


def test_landings_of_one_mailbox_at_once(database: Database) -> None:
    """Eight landings that are ready at the same moment wait for one another and lose nothing."""
    rng = random.Random(1)
    mails = [
        Mail(f"m{n}", f"i{n}", f"i{rng.randrange(240)}" if rng.random() < 0.4 else None,
             prefix=rng.choice(["", "Re: "]), about=rng.choice(["a", "b", "c", "d"]),
             sent_at=BEGINNING + n * DAY / 3, from_address=rng.choice([ANN, BOB, EVE]), to=(rng.choice([ANN, BOB]),))
        for n in range(240)
    ]  # fmt: skip
    rng.shuffle(mails)
    box, barrier, failures = make_mailbox(database), threading.Barrier(8), list[BaseException]()

    def run(part: Sequence[Mail]) -> None:
        try:
            with database.transaction() as conn:
                new = insert(conn, box, part)
                barrier.wait(30)
                thread_landed(conn, chunk_of(box), new)  # type: ignore[arg-type]
        except BaseException as error:  # noqa: BLE001 - shown by the test
            failures.append(error)

    workers = [threading.Thread(target=run, args=(mails[n::8],)) for n in range(8)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert [] == failures
    assert thread_model.threads(mails) == together(database, box)
    assert [] == faults(database)


def test_a_landing_waits_for_its_own_mailbox_only(database: Database) -> None:
    """While one landing holds its mailbox, another mailbox's goes on and one of the same mailbox waits."""
    box, other = make_mailbox(database, "box"), make_mailbox(database, "other")
    with database.transaction() as conn:
        thread_landed(conn, chunk_of(box), insert(conn, box, [ORIGINAL]))  # type: ignore[arg-type]
        with database.transaction() as rival:
            rival.execute("SET LOCAL lock_timeout = '100ms'")
            thread_landed(rival, chunk_of(other), insert(rival, other, [ORIGINAL]))  # type: ignore[arg-type]
        with database.transaction() as rival:
            rival.execute("SET LOCAL lock_timeout = '100ms'")
            new = insert(rival, box, [BETTER])
            with pytest.raises(psycopg.errors.LockNotAvailable):
                thread_landed(rival, chunk_of(box), new)  # type: ignore[arg-type]


def test_mailboxes_share_nothing(database: Database) -> None:
    """The same ids and subjects in two mailboxes, of one tenant and of two, are threads of their own."""
    boxes = [make_mailbox(database, "one"), make_mailbox(database, "two"), make_mailbox(database, "one", tenant="bob")]
    for box in boxes:
        land(database, box, [ORIGINAL, REPLY, Mail("linked", "l", "o")])
    ids = [found(database, box) for box in boxes]
    assert [{frozenset({"original", "reply", "linked"})}] * 3 == [set(one.values()) for one in ids]
    assert 3 == len(set().union(*ids))


def test_the_end_of_a_mailbox_is_the_end_of_its_threads(database: Database, owner: Database) -> None:
    """Deleting a mailbox leaves nothing behind, deleting a message its place only."""
    box = make_mailbox(database)
    land(database, box, [ORIGINAL, REPLY, ANSWER])
    owner.execute("DELETE FROM messages WHERE snippet = 'original'")
    land(database, box, [BETTER, ORIGINAL])
    assert {frozenset({"original"}), frozenset({"better", "reply", "answer"})} == together(database, box)
    owner.execute("DELETE FROM mailboxes WHERE id = %s", (box.id,))
    for table in ("threads", "thread_nodes", "thread_messages"):
        assert [] == owner.execute(f"SELECT * FROM {table}")  # type: ignore[arg-type]


def test_conversations_are_those_of_dovecot(database: Database, dovecot_server: DovecotServer) -> None:
    """Dovecot's THREAD REFS finds the same conversations in the demo mailbox, folder by folder.

    A Message-ID that came twice is a new one to Dovecot and the same to us: of such mail only one stays.
    """
    raws: dict[str, dict[str, bytes]] = {}
    for message in iter_messages(1500, seed=3):
        message_id = parse_many([message.raw])[0].message_id
        if message_id:
            raws.setdefault(message.folder, {}).setdefault(message_id, message.raw)
    ours: dict[str, set[frozenset[str]]] = {}
    for number, (folder, kept) in enumerate(raws.items()):
        dovecot_server.add_messages(folder, kept.values())
        with dovecot_server.client() as client:
            mails = [_mail(uid, raw) for uid, raw in client.messages(folder).items()]
        random.Random(number).shuffle(mails)
        box = make_mailbox(database, f"box {number}")
        land(database, box, *(mails[at : at + 50] for at in range(0, len(mails), 50)))
        ours[folder] = set(found(database, box, "conversation_id").values())
    assert {folder: _dovecots(dovecot_server, folder) for folder in raws} == ours
    assert max(map(len, ours["INBOX"])) > 5


def _mail(uid: int, raw: bytes) -> Mail:
    parsed = parse_many([raw])[0]
    return Mail(f"{uid}", parsed.message_id, parsed.in_reply_to, parsed.references, about=parsed.subject)


def _dovecots(server: ImapServer, folder: str) -> set[frozenset[str]]:
    with server.client() as client:
        client.select(folder)
        replies = client.command(b"UID THREAD REFS UTF-8 ALL")
    text = next(reply.text for reply in replies if reply.text.startswith(b"* THREAD"))
    groups, depth = list[list[str]](), 0
    for word in re.findall(r"\d+|[()]", text.decode()):
        if word == "(":
            groups.extend([[]] if depth == 0 else [])
        elif word != ")":
            groups[-1].append(word)
        depth += {"(": 1, ")": -1}.get(word, 0)
    return set(map(frozenset, groups))
