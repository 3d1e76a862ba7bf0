"""Search: off by default, no landing fails of it, and each tenant finds its own."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from itertools import islice

import psycopg
import pytest

from chunk_sync.demo.mailbox import iter_messages
from chunk_sync.demo.poison import poison_messages
from chunk_sync.errors import UsageError
from chunk_sync.store.database import Database
from chunk_sync.store.isolation import OPERATOR_ROLE, TENANT_ROLE
from chunk_sync.store.search import disable_search, enable_search, find_messages, searchable_messages
from chunk_sync_tests.catalog import catalog
from chunk_sync_tests.landed_mail import land_mail
from chunk_sync_tests.mail.poison import POISON
from chunk_sync_tests.servers.process import wait_until
from chunk_sync_tests.two_tenants import World

SEEN = "SELECT count(*) FROM chunk_sync.search_messages('secret')"
LETTERS = {
    "plain": b"From: Ann Lee <ann.lee@example.com>\r\nSubject: Budget for spring\r\n\r\nThe numbers are attached.\r\n",
    "reply": b"From: bob@example.org\r\nSubject: Re: numbers\r\n\r\nWhich budget do you mean? Next year?\r\n",
    "markup": b"From: News <news@shop.example>\r\nSubject: Sale\r\nContent-Type: text/html; charset=utf-8\r\n\r\n"
    b"<style>.budget { color: red }</style><script>var budget = 1</script><p class=budget>Alles "
    b"g\xc3\xbcnstiger</p><!-- budget -->",
}
RUN = 65_536


def word(number: int) -> str:
    """Another word of four bytes a letter for each number."""
    return chr(0x20000 + number % 40_000) + chr(0x20000 + number // 40_000)


HOSTILE = {
    "squares": "a_b-" * RUN,
    "hyphens": "a-" * RUN,
    "open tags": "<a " * RUN,
    "open comments": "<!-- " * RUN,
    "one word": "x" * RUN,
    "paths": "a.b/c." * RUN,
    "distinct words": " ".join(word(i) for i in range(2 * RUN)),
    "distinct compounds": " ".join(f"{word(i)}-{word(7 * i)}" for i in range(2 * RUN)),
    "distinct urls": " ".join(f"{word(i)}.com/{word(i) * 4}" for i in range(RUN)),
    "long distinct words": " ".join(word(i) * 49 for i in range(RUN // 20)),
    "lower case is longer": " ".join(f"\u0130{word(i)}" for i in range(RUN)),
    "open markup": "<style" * RUN,
    "unclosed": "<" + "a" * RUN * 4,
    "nothing but brackets": "<>" * RUN * 2,
}


@pytest.fixture
def searching(database: Database) -> Database:
    """A database with search on."""
    list(enable_search(database))
    return database


@pytest.fixture
def letters(searching: Database) -> Database:
    """A mailbox of three letters that can be found."""
    land_mail(searching, list(LETTERS.values()), name="letters")
    return searching


def test_it_is_off_until_somebody_turns_it_on(database: Database) -> None:
    """A landing writes nothing for search, and a query says how to turn it on."""
    land_mail(database, list(LETTERS.values()))
    assert 0 == searchable_messages(database)
    with pytest.raises(UsageError, match=r"search is off: turn it on with `\./chunk-sync search on`"):
        find_messages(database, "budget")


def test_what_landed_before_is_found_too(database: Database) -> None:
    """Turning it on makes everything findable that is there; turning it on again adds what is missing."""
    land_mail(database, [message.raw for message in islice(iter_messages(seed=2), 1200)])
    total = database.execute("SELECT count(*) AS n FROM messages")[0]["n"]
    assert 1000 < total
    assert [500, 1000, 1500] == list(enable_search(database))
    assert total == searchable_messages(database)
    database.execute("DELETE FROM message_search WHERE mod(message_id, 2) = 0")
    list(enable_search(database))
    assert total == searchable_messages(database)


def test_off_leaves_nothing(database: Database) -> None:
    """Off again the schema is what it was, no document is left, and mail lands; each of the two can be said twice."""
    before = catalog(database)
    list(enable_search(database))
    assert before != catalog(database)
    land_mail(database, list(LETTERS.values()))
    assert [True, False] == [disable_search(database), disable_search(database)]
    assert before == catalog(database)
    assert 0 == searchable_messages(database)
    land_mail(database, list(LETTERS.values()), name="later")


def test_a_landing_under_way_is_found_too(database: Database) -> None:
    """Who turns it on waits for landings that began before, and then finds what they have landed."""
    box = land_mail(database, [])
    with database.transaction() as conn:
        conn.execute(
            "WITH m AS (INSERT INTO messages (tenant_id, mailbox_id, raw_sha256, size, parse_status, subject)"
            " VALUES (%s, %s, sha256('x'), 1, 'ok', 'under way') RETURNING id, tenant_id)"
            " INSERT INTO message_bodies (message_id, tenant_id) SELECT id, tenant_id FROM m",
            (box.tenant_id, box.id),
        )
        thread = threading.Thread(target=lambda: list(enable_search(database)))
        thread.start()
        waiting = "SELECT 1 FROM pg_locks WHERE NOT granted AND mode = 'ShareRowExclusiveLock'"
        assert wait_until(lambda: bool(database.execute(waiting)), 60)
    thread.join()
    assert ["under way"] == [found.subject for found in find_messages(database, "way")]


def test_four_turn_it_on_at_once(database: Database) -> None:
    """One does it and nobody fails."""
    failures: list[BaseException] = []

    def turn_on() -> None:
        try:
            list(enable_search(database))
        except BaseException as error:  # noqa: BLE001 - shown by the test
            failures.append(error)

    threads = [threading.Thread(target=turn_on) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [] == failures


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("budget", ["plain", "reply"]),
        ("BUDGET numbers", ["plain", "reply"]),
        ('"next year"', ["reply"]),
        ('"year next"', []),
        ("budget -spring", ["reply"]),
        ("sale or spring", ["markup", "plain"]),
        ("ann", ["plain"]),
        ("ann.lee@example.com", ["plain"]),
        ("example.org", ["reply"]),
        ("günstiger", ["markup"]),
        ("color", []),
        ("var", []),
        ("class", []),
        ("", []),
        ("' & | ! ( :* <-> \\ \0", []),
    ],
)
def test_what_words_find(letters: Database, words: str, expected: list[str]) -> None:
    """Subject, sender and text; of HTML what people read. Any input is a query."""
    subjects = {"Budget for spring": "plain", "Re: numbers": "reply", "Sale": "markup"}
    assert expected == sorted(subjects[found.subject] for found in find_messages(letters, words))


def test_a_subject_counts_more_than_a_text(letters: Database) -> None:
    """The best first."""
    found = [(one.subject, one.rank) for one in find_messages(letters, "budget")]
    assert ["Budget for spring", "Re: numbers"] == [subject for subject, _ in found]
    assert found[0][1] > 2 * found[1][1]


def test_what_is_told_of_a_message(letters: Database) -> None:
    """Enough to show it in a list, and its id to read it."""
    (found,) = find_messages(letters, "spring")
    (row,) = letters.execute("SELECT id, received_at, snippet FROM messages WHERE subject = 'Budget for spring'")
    expected = (row["id"], "Budget for spring", "Ann Lee", "ann.lee@example.com", row["received_at"], "letters")
    told = (found.message_id, found.subject, found.from_name, found.from_address, found.received_at, found.mailbox)
    assert expected == told
    assert row["snippet"] == found.snippet
    assert found.rank > 0


def test_of_one_mailbox_of_one_tenant_and_no_more_than_wanted(letters: Database) -> None:
    """The same letters are elsewhere too: what is asked for is what is given."""
    land_mail(letters, list(LETTERS.values()), name="other")
    land_mail(letters, list(LETTERS.values()), name="letters", tenant="acme")
    assert 6 == len(find_messages(letters, "budget"))
    assert 4 == len(find_messages(letters, "budget", tenant="default"))
    assert 2 == len(find_messages(letters, "budget", tenant="default", mailbox="letters"))
    assert 0 == len(find_messages(letters, "budget", tenant="acme", mailbox="other"))
    assert 1 == len(find_messages(letters, "budget", limit=1))


def test_no_mail_fails_a_landing(searching: Database) -> None:
    """All that broke parsers lands with search on, each message can be found, and as often as without."""
    raws = [raw for _, raw in poison_messages(0.2)] + list(POISON.values())
    land_mail(searching, raws)
    counts = searching.execute(
        "SELECT (SELECT count(*) FROM messages) AS messages, (SELECT count(*) FROM message_search) AS found"
    )[0]
    assert len(set(raws)) == counts["messages"] == counts["found"]
    assert find_messages(searching, "poison")


@pytest.fixture
def connection(database: Database) -> Iterator[psycopg.Connection]:
    """A connection that hears what the server has to say, and on which no statement may take a hundred times its time.

    That is a fifth of a second here; what PostgreSQL makes of such a text by itself takes minutes.
    """
    with database.transaction() as conn:
        conn.execute("SET LOCAL statement_timeout = '30s'; SET LOCAL client_min_messages = notice")
        yield conn  # type: ignore[misc]


@pytest.mark.parametrize("name", HOSTILE)
@pytest.mark.parametrize("column", ["p_subject", "p_from_name", "p_from_address", "p_body_text", "p_body_html"])
def test_no_text_is_too_much(connection: psycopg.Connection, name: str, column: str) -> None:
    """Texts that make PostgreSQL's parser slow, or too large a tsvector, or a word too long: no time, and silence."""
    heard: list[str] = []
    connection.add_notice_handler(lambda notice: heard.append(notice.message_primary or ""))
    full = dict.fromkeys(("p_subject", "p_from_name", "p_from_address", "p_body_text"), HOSTILE["distinct compounds"])
    arguments = full | {"p_body_html": None} | {column: HOSTILE[name]}
    if column == "p_body_html":
        arguments["p_body_text"] = ""
    listed = ", ".join(f"{key} => %({key})s" for key in arguments)
    row = connection.execute(f"SELECT pg_column_size(search_document({listed})) AS size".encode(), arguments).fetchone()
    assert row is not None
    assert 0 < row["size"] < 1 << 20  # type: ignore[call-overload]
    assert [] == heard


def test_a_message_without_anything_has_a_document(database: Database) -> None:
    """NULLs are empty texts."""
    rows = database.execute("SELECT search_document(NULL, NULL, NULL, NULL, NULL)::text AS document")
    assert [{"document": ""}] == rows


def test_a_message_that_is_deleted_is_found_no_more(letters: Database) -> None:
    """Its document goes with it."""
    letters.execute("DELETE FROM messages WHERE subject = 'Sale'")
    assert [] == find_messages(letters, "sale")
    assert 2 == searchable_messages(letters)


def test_b40_a_tenant_finds_its_own(world: World) -> None:
    """Row security holds for search: bob finds bob's, whatever mailbox or tenant he names, and nobody finds nothing."""
    with world.acting(TENANT_ROLE, world.bob) as conn:
        rows = conn.execute("SELECT subject, mailbox FROM chunk_sync.search_messages('secret')").fetchall()
        assert [("a secret of bob", "box of bob")] == rows
        for call in ("'ann'", "'secret', 'box of ann'", "'secret', NULL, 50, 'ann'", "'-bob'"):
            statement = f"SELECT count(*) FROM chunk_sync.search_messages({call})"
            assert (call, 0) == (call, conn.execute(statement.encode()).fetchall()[0][0])
    with world.acting(TENANT_ROLE) as conn:
        assert [(0,)] == conn.execute(SEEN).fetchall()
    assert 2 == len(find_messages(world.database, "secret"))


@pytest.mark.parametrize("role", [TENANT_ROLE, OPERATOR_ROLE])
def test_only_the_owner_turns_it_on_or_off(world: World, role: str) -> None:
    """A tenant turns nothing, an operator reads no mail, and the engine owns no schema."""
    with world.acting(role, world.bob):
        for what in ("enable_search()", "disable_search()", "index_for_search(0, 1)"):
            assert world.refuses(f"SELECT chunk_sync.{what}")
    with world.acting(OPERATOR_ROLE):
        assert world.refuses(SEEN)
    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        world.database.execute("SELECT disable_search()")


def test_the_engine_reads_the_index(searching: Database, owner: Database) -> None:
    """A query does not read the documents of all messages."""
    box = land_mail(searching, [])
    searching.execute(
        "WITH m AS (INSERT INTO messages (tenant_id, mailbox_id, raw_sha256, size, parse_status, subject)"
        " SELECT %s, %s, sha256(n::text::bytea), 1, 'ok', 'word' || n %% 500 FROM generate_series(1, 5000) AS n"
        " RETURNING id, tenant_id, subject)"
        " INSERT INTO message_search SELECT id, tenant_id, search_document(subject, NULL, NULL, NULL, NULL) FROM m",
        (box.tenant_id, box.id),
    )
    owner.execute("ANALYZE message_search")
    plan = searching.execute(
        "EXPLAIN SELECT message_id FROM message_search WHERE document @@ websearch_to_tsquery('simple', 'word7')"
    )
    assert "message_search_document" in str(plan)
    assert 10 == len(find_messages(searching, "word7"))
