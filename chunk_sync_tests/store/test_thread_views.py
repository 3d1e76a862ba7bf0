"""Reading threads: the views that people use, and that neither they nor a landing read more than they ask for."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import pytest

from chunk_sync.store.database import Connection, Database, query
from chunk_sync.store.threads import thread_unthreaded
from chunk_sync_tests.factory import make_mailbox
from chunk_sync_tests.store.thread_landing import insert, land
from chunk_sync_tests.thread_model import ANN, BEGINNING, DAY, EVE, ORIGINAL, REPLY, Mail

if TYPE_CHECKING:  # a plugin must not be imported before pytest loads it
    from chunk_sync_tests.postgres_plugin import PgServer


def test_emails_and_email_threads(database: Database) -> None:
    """What people read: a row a message with its thread and places, a row a thread with what is in it."""
    box = make_mailbox(database)
    land(database, box, [ORIGINAL, REPLY, Mail("alone", "z", about="other", cc=(EVE, ANN.upper()))])
    with database.transaction() as conn:
        insert(conn, box, [Mail("waits", "w", sent_at=None)])
        conn.execute(
            "INSERT INTO folders (tenant_id, mailbox_id, key, path, uidvalidity)"
            " SELECT %(tenant_id)s, %(id)s, f, 'path of ' || f, 1 FROM unnest('{a,b,c}'::text[]) AS f",
            {"tenant_id": box.tenant_id, "id": box.id},
        )
        conn.execute(
            "INSERT INTO message_locations (folder_id, uidvalidity, uid, tenant_id, message_id, flags, vanished_at)"
            " SELECT f.id, 1, 1, m.tenant_id, m.id, ARRAY[f.key, 'seen'], CASE f.key WHEN 'c' THEN clock() END"
            " FROM folders AS f CROSS JOIN messages AS m WHERE m.snippet = 'reply'"
        )
    mails = database.execute("SELECT snippet, mailbox, thread_id IS NULL AS waits, folders, flags FROM emails")
    assert {
        ("reply", "box", False, ("path of a", "path of b"), ("a", "b", "seen")),
        *((name, "box", name == "waits", (), ()) for name in ("original", "alone", "waits")),
    } == {tuple(tuple(v) if isinstance(v, list) else v for v in row.values()) for row in mails}
    rows = database.execute(
        "SELECT subject, messages, participants, first_at, last_at, thread_id ="
        " (SELECT min(e.thread_id::text)::uuid FROM emails AS e WHERE e.subject = t.subject) AS ok"
        " FROM email_threads AS t WHERE mailbox = 'box' ORDER BY messages"
    )
    assert [
        ("other", 1, 3, BEGINNING, BEGINNING, True),
        ("budget", 2, 2, BEGINNING, BEGINNING + 9 * DAY, True),
    ] == [tuple(row.values()) for row in rows]


@pytest.fixture(scope="session")
def large_template(pg_server: PgServer, migrated_template: str) -> str:
    """Two mailboxes of 6,000 messages in 3,000 threads each; statistics are as they should be."""

    def fill(dsn: str) -> None:
        with Database(dsn) as database, Database(dsn, role=None) as owner:
            for box in [make_mailbox(database, name) for name in ("one", "two")]:
                database.execute(
                    "INSERT INTO messages (tenant_id, mailbox_id, raw_sha256, size, message_id, in_reply_to, subject,"
                    " sent_at, parse_status) SELECT %(tenant_id)s, %(id)s, sha256(n::text::bytea), 1, 'i' || n,"
                    " CASE WHEN n %% 2 = 1 THEN 'i' || n - 1 END, 'subject ' || n / 10, clock() - n * interval '1 h',"
                    " 'ok' FROM generate_series(0, 5999) AS n",
                    {"tenant_id": box.tenant_id, "id": box.id},
                )
            assert 12000 == thread_unthreaded(database)
            owner.execute("ANALYZE threads, thread_nodes, thread_messages, messages, mailboxes")

    return pg_server.template(fill, migrated_template)


@pytest.fixture
def large(pg_server: PgServer, large_template: str) -> Iterator[Database]:
    """A database with much mail."""
    with pg_server.cloned(large_template) as dsn, Database(dsn) as database:
        yield database


LOOKUPS: dict[str, tuple[dict[str, object], set[str]]] = {
    "thread_has": ({"message_ids": [1, 2, 3]}, {"thread_messages_pkey"}),
    "thread_known": ({"ids": ["0" * 32] * 3}, {"thread_nodes_pkey", "threads_pkey", "thread_messages_pkey"}),
    "thread_parents": (
        {"message_ids": [1, 2], "latest": 50},
        {"thread_messages_replies", "thread_messages_subject", "threads_pkey", "thread_messages_pkey"},
    ),
    "thread_conversations": ({"threads": [1, 2]}, {"threads_thread", "thread_messages_pkey", "threads_pkey"}),
    "thread_put_together": ({"threads": [1, 2], "conversations": [1, 2], "new": [1, 2]}, {"threads_thread"}),
    "thread_merge": ({"merged": [1, 2], "conversations": [1, 2]}, {"threads_thread", "threads_pkey"}),
    "thread_first": ({"ids": [1, 2], "firsts": [1, 2], "parents": [None, 1]}, {"threads_pkey"}),
}


@pytest.mark.parametrize("name", LOOKUPS)
def test_every_lookup_takes_an_index(large: Database, name: str) -> None:
    """However much mail there is, a landing reads what it asks for and no more."""
    parameters, indexes = LOOKUPS[name]
    with large.transaction() as conn:
        plan = explain(conn, query(name), parameters | {"mailbox_id": 1})
    assert "Seq Scan" not in plan
    assert indexes <= set(re.findall(r'"Index Name": "(\w+)"', plan))


@pytest.mark.parametrize("role", ["chunk_sync_app", "chunk_sync_tenant"])
@pytest.mark.parametrize("view", ["emails", "email_threads"])
def test_one_thread_is_read_by_indexes(large: Database, role: str, view: str) -> None:
    """One thread, by its public id, is found without looking at other mail; also under the rules of a tenant."""
    one = large.execute("SELECT * FROM threads WHERE thread_id = id ORDER BY id OFFSET 77 LIMIT 1")[0]
    with large.transaction() as conn:
        conn.execute("RESET ROLE")
        conn.execute(f"SET LOCAL ROLE {role}")  # type: ignore[arg-type]
        conn.execute("SELECT set_config('app.tenant_id', %s, true)", (str(one["tenant_id"]),))
        statement = f"SELECT * FROM {view} WHERE thread_id = %s"
        assert conn.execute(statement, (one["public_id"],)).fetchall()  # type: ignore[arg-type]
        plan = explain(conn, statement, (one["public_id"],))
    scanned = re.findall(r'"Node Type": "Seq Scan".*?"Relation Name": "(\w+)"', plan, re.DOTALL)
    assert set(scanned) <= {"mailboxes", "folders"}
    assert {"threads_public_id_key", "threads_thread", "thread_messages_thread"} <= set(
        re.findall(r'"Index Name": "(\w+)"', plan)
    )


def explain(conn: Connection, statement: str, parameters: Any) -> str:
    """How a statement would be done."""
    row = conn.execute(f"EXPLAIN (FORMAT JSON) {statement}", parameters).fetchone()  # type: ignore[arg-type]
    assert row is not None
    return json.dumps(row["QUERY PLAN"], indent=1)
