"""The roles: what the engine and an operator may, that nobody changes the audit log, whom a connection acts as."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any, LiteralString
from urllib.parse import urlsplit

import psycopg
import pytest
from psycopg import sql

from chunk_sync.local.pg_cluster import OWNER, SUPERUSER
from chunk_sync.local.postgres import EmbeddedPostgres
from chunk_sync.store.database import APP_ROLE, Database
from chunk_sync.store.isolation import OPERATOR_ROLE, ROLES, TENANT_ROLE, isolation_faults
from chunk_sync.store.migrations import migrate
from chunk_sync.store.retention import run_retention
from chunk_sync_tests.factory import make_job, make_mailbox
from chunk_sync_tests.postgres_plugin import PgServer, scratch_folder
from chunk_sync_tests.two_tenants import SECRET, Connection, World, columns, relations

CONTENTS = {
    "attachments",
    "email_threads",
    "emails",
    "folders",
    "mail_problems",
    "message_bodies",
    "message_locations",
    "message_raw",
    "message_search",
    "messages",
    "quarantined_messages",
    "schema_objects",
    "sync_job_folders",
    "thread_messages",
    "thread_nodes",
    "threads",
}
"""What an operator has no business with: messages, where they are, and the migrator's book of objects."""
NEVER_CHANGED = {
    "id",
    "public_id",
    "tenant_id",
    "mailbox_id",
    "sync_job_id",
    "chunk_id",
    "lease_token",
    "address",
    "keep",
}
"""Columns that no repair changes."""
ENGINES = re.compile(
    r"claim_|complete_|fail_chunk|fail_lane|finish_|heartbeat|open_worker|close_worker|release_|request_|delete_|take_|log_"
)
"""Functions by which the engine works, and nobody else."""
OWNERS = [
    "UPDATE audit_log SET reason = ''",
    "DELETE FROM audit_log",
    "TRUNCATE audit_log",
    "SELECT FROM audit_log FOR UPDATE",
    "INSERT INTO audit_log (action, at) VALUES ('x', 'epoch')",
    "INSERT INTO audit_log (action, login) VALUES ('x', 'somebody')",
    "ALTER TABLE audit_log DISABLE ROW LEVEL SECURITY",
    "DROP TABLE audit_log",
    "DROP POLICY engine ON audit_log",
    "DELETE FROM schema_migrations",
    "CREATE TABLE chunk_sync.mine (id int)",
    "CREATE FUNCTION chunk_sync.mine() RETURNS int LANGUAGE sql AS 'SELECT 1'",
    "DROP FUNCTION clock",
    "CREATE ROLE somebody",
]
"""What only the owner may."""
REPAIRS: dict[str, LiteralString] = {
    "cleanup_stuck_chunks": "SELECT cleanup_stuck_chunks() = 4",
    "reset_stuck_chunks": "SELECT reset_count = 4 FROM reset_stuck_chunks(10)",
    "recover_plans": "SELECT recover_plans() = 1",
    "repair_lanes": "SELECT repair_lanes() = 1",
    "force_reset_chunk, of a dead letter": "SELECT force_reset_chunk(%(dead)s, 'why') ->> 'success' = 'true'",
    "force_reset_chunk, of a running one": "SELECT force_reset_chunk(%(running)s, 'why') ->> 'success' = 'true'",
    "force_reset_chunk, of a completed one": "SELECT force_reset_chunk(%(landed)s, 'why') ->> 'success' = 'true'",
    "reset_sync_job_chunks": "SELECT reset_sync_job_chunks(%(job)s, 'why') ->> 'reset_count' = '3'",
    "reopen_chunk": "SELECT reopen_chunk(%(dead)s, 'why') = 'failed'",
    "reopen_sync_job": "SELECT reopen_sync_job(%(sync_job)s, 'why') >= 1",
    "prioritize_sync_job": "SELECT prioritize_sync_job(%(sync_job)s, 30, 'why') >= 1",
    "recover_by_hand": "SELECT count(*) = 4 FROM recover_by_hand('{}', 10, 'why')",
    "archive_sync_job": "SELECT archive_sync_job(%(archived)s, 'why')::text = ''",
    **{
        f"{verb} {scope}": f"SELECT {verb}_sync('{scope}', %({scope})s, 'why') >= {least}"
        for scope in ("sync_job", "mailbox", "tenant")
        for verb, least in (("cancel", 3), ("pause", 1), ("resume", 1))
    },
}
"""What an operator does, on ann's things; each is true when it was done."""


@pytest.mark.parametrize("role", [TENANT_ROLE, OPERATOR_ROLE])
def test_b48_b51_where_a_password_is_stays_with_the_engine(world: World, role: str) -> None:
    """Neither a tenant nor an operator can read a mailbox's credential, its own or another one's; the engine can."""
    for what in ("credential", "m", "m.*", "to_jsonb(m)", "(m).credential"):
        with world.acting(role, world.bob):
            assert world.refuses(f"SELECT {what} FROM chunk_sync.mailboxes AS m")
    with world.acting(role, world.bob):
        assert world.refuses("SELECT 1 FROM chunk_sync.mailboxes WHERE credential LIKE 'env:%'")
    found = world.database.execute("SELECT credential FROM mailboxes ORDER BY credential")
    assert [f"{SECRET}ANN", f"{SECRET}BOB"] == [row["credential"] for row in found]


@pytest.mark.parametrize("role", ROLES)
def test_no_role_changes_the_audit_log_or_the_schema(world: World, role: str) -> None:
    """What was done stays written down; only the owner makes tables, functions and rules."""
    with world.acting(role, world.bob) as conn:
        conn.execute("SET LOCAL search_path = chunk_sync")
        assert [] == [statement for statement in OWNERS if not world.refuses(statement)]


def test_the_engine_works_for_everybody_and_is_named(world: World) -> None:
    """The engine's connections act as its role, see all tenants, and the log has the login behind the role."""
    me = world.database.execute("SELECT current_user AS role, session_user AS login")[0]
    assert APP_ROLE == me["role"]
    assert [{"n": 2}] == world.database.execute("SELECT count(DISTINCT tenant_id) AS n FROM sync_jobs")
    audited = world.database.execute("SELECT DISTINCT actor, login FROM audit_log")
    assert [{"actor": APP_ROLE, "login": me["login"]}] == audited


def test_the_audit_logs_retention_is_the_owners(world: World) -> None:
    """What is past its keep goes all the same: retention runs as the owner, on the engine's own pool."""
    world.owner.execute("UPDATE audit_log SET at = at - interval '366 days' WHERE tenant_id = %s", (world.ann.id,))
    assert 1 == run_retention(world.database)["audit_log"]
    left = world.database.execute("SELECT tenant_id, current_user AS me FROM audit_log")
    assert [{"tenant_id": world.bob.id, "me": APP_ROLE}] == left


def test_what_a_session_was_made_to_be_does_not_leak(database: Database, owner: Database) -> None:
    """Whoever gets a pooled connection next is the engine again, for no tenant, and reads our tables."""
    with Database(database.dsn, pool_size=1) as pool:
        before = pool.execute("SELECT pg_backend_pid() AS pid")[0]["pid"]
        for role in (TENANT_ROLE, "NONE"):
            with pool.transaction() as conn:
                conn.execute(f"SET ROLE {role}".encode())
                conn.execute("SET app.tenant_id = '1'; SET search_path = pg_catalog", prepare=False)
            after = pool.execute(
                "SELECT pg_backend_pid() AS pid, current_user AS me, current_setting('app.tenant_id', true) AS tenant,"
                " (SELECT count(*) FROM tenants) AS tenants"
            )
            assert [(before, APP_ROLE, 1)] == [(row["pid"], row["me"], row["tenants"]) for row in after]
            assert not after[0]["tenant"]


def test_a_temporary_table_is_not_taken_for_ours(database: Database) -> None:
    """A table that somebody made in the session does not hide the real one of its name."""
    make_mailbox(database)
    with database.transaction() as conn:
        conn.execute("CREATE TEMPORARY TABLE mailboxes (id bigint) ON COMMIT DROP")
        assert [{"n": 1}] == conn.execute("SELECT count(*) AS n FROM mailboxes").fetchall()


@pytest.fixture
def troubled(world: World) -> dict[str, object]:
    """Everything that an operator is there for: dead workers, a dead planner, a lane that lost count; ann's ids."""
    planner = world.database.execute("SELECT open_worker('planner') AS id")[0]["id"]
    world.database.execute("SELECT claim_plan(%s, %s)", (world.ann.unplanned_id, planner))
    world.owner.execute("UPDATE workers SET lease_until = 'epoch', heartbeat_at = 'epoch'")
    world.owner.execute("UPDATE queue_rules SET lost_leases_limit = 1")  # a dead letter at once: the longest way
    landed, dead, running = world.ann.job.chunk_ids[:3]
    return {
        "landed": landed,
        "dead": dead,
        "running": running,
        "job": world.ann.job_public_id,
        "sync_job": world.ann.job_public_id,
        "archived": world.ann.archived_public_id,
        "mailbox": world.database.execute("SELECT public_id FROM mailboxes ORDER BY id LIMIT 1")[0]["public_id"],
        "tenant": world.ann.public_id,
    }


@pytest.mark.parametrize("what", REPAIRS)
def test_an_operator_sets_right_what_is_stuck(world: World, troubled: dict[str, object], what: str) -> None:
    """Each repair works with an operator's rights, on any tenant, and the log has who logged in and why."""
    if what == "repair_lanes":
        world.owner.execute("UPDATE mailbox_lanes SET held = held || 0::bigint WHERE tenant_id = %s", (world.ann.id,))
    with world.acting(OPERATOR_ROLE) as conn:
        before = conn.execute("SELECT max(id) FROM audit_log").fetchall()[0][0]
        assert [(True,)] == conn.execute(REPAIRS[what], troubled).fetchall()
        new = conn.execute("SELECT DISTINCT login, reason <> '' FROM audit_log WHERE id > %s", (before,)).fetchall()
        assert [(conn.info.user, True)] == new


def test_an_operator_does_nothing_else(world: World) -> None:
    """An operator sees all tenants' queue and no message, deletes nothing, and works no chunk."""
    with world.acting(OPERATOR_ROLE) as conn:
        tables = relations(conn, "r", "p")
        every = set(tables) | set(relations(conn, "v"))
        readable = {name for name in every if columns(conn, name, OPERATOR_ROLE)}
        assert every - CONTENTS == readable
        assert [(2,)] == conn.execute("SELECT count(DISTINCT tenant_id) FROM chunk_processing_queue").fetchall()
        allowed = [
            (name, verb)
            for name in tables
            for verb in ("DELETE FROM", "TRUNCATE")
            if not world.refuses(f"{verb} chunk_sync.{name}")
        ]
        assert [] == allowed
        inserts = {name for name in tables if columns(conn, name, OPERATOR_ROLE, "INSERT")}
        assert {"archived_sync_jobs", "audit_log", "chunked_sync_health_monitoring"} == inserts
        changes = {(name, c) for name in tables for c in columns(conn, name, OPERATOR_ROLE, "UPDATE")}
        assert set() == {c for name, c in changes if name != "archived_sync_jobs"} & NEVER_CHANGED


def test_an_operator_does_not_do_the_engines_work(world: World) -> None:
    """An operator claims, completes, requests and deletes nothing."""
    with world.acting(OPERATOR_ROLE) as conn:
        rows = conn.execute(
            "SELECT proname, has_function_privilege(oid, 'EXECUTE') FROM pg_proc"
            " WHERE pronamespace = 'chunk_sync'::regnamespace"
        ).fetchall()
    engines = [name for name, _ in rows if ENGINES.match(name)]
    assert len(engines) > 15
    assert [] == [name for name, may in rows if may and name in engines]


@pytest.fixture
def superuser(pg_server: PgServer, database: Database) -> Iterator[Callable[[], Connection]]:
    """Opens connections of one whom row security does not bind, and whom the server tells every plan."""
    info = pg_server.admin.info
    name = psycopg.conninfo.conninfo_to_dict(info.dsn) | {"password": info.password, "dbname": _name(database)}
    opened: list[Connection] = []

    def connect() -> Connection:
        opened.append(psycopg.connect(**name))
        opened[-1].execute(
            "LOAD 'auto_explain'; SET auto_explain.log_min_duration = 0; SET auto_explain.log_nested_statements = on;"
            "SET auto_explain.log_level = notice; SET search_path = chunk_sync, pg_temp; SET enable_seqscan = off"
        )
        return opened[-1]

    yield connect
    for connection in opened:
        connection.close()


def _name(database: Database) -> str:
    return database.execute("SELECT current_database() AS name")[0]["name"]


def test_the_queue_is_read_the_same_way_under_row_security(
    database: Database, superuser: Callable[[], Connection]
) -> None:
    """Every statement inside of claim, heartbeat, completion and failure takes the same indexes as without policies."""
    make_job(database, make_mailbox(database), chunks=20)
    database.execute("ANALYZE chunk_processing_queue")
    free, bound = (_plans(superuser(), role) for role in ("none", APP_ROLE))
    both = free.keys() & bound.keys()
    assert {"chunk_processing_queue_turn", "chunk_processing_queue_pkey", "mailbox_lanes_open"} <= {
        index for text in both for index in re.findall(r"using (\w+)", free[text])
    }
    assert {text: free[text] for text in both} == {text: bound[text] for text in both}


def _plans(connection: Connection, role: str) -> dict[str, str]:
    """Let a role work on chunks; how each statement was done, without its filters, whose order may differ."""
    told: list[str] = []
    connection.add_notice_handler(lambda notice: told.append(notice.message_primary or ""))
    connection.execute(f"SET LOCAL ROLE {role}".encode())
    worker = _one(connection, "SELECT open_worker('w')")
    chunks = [_one(connection, "SELECT ARRAY[chunk_id, lease_token] FROM claim_chunks(%s, 1)", worker) for _ in "12"]
    _one(connection, "SELECT heartbeat(%s)", worker)
    _one(connection, "SELECT complete_chunk(%s, %s, 1, 0, 0, 0, 1, 1)", *chunks[0])
    _one(connection, "SELECT (fail_chunk(%s, %s, 'network', 'reset')).accepted", *chunks[1])
    _one(connection, "SELECT close_worker(%s)", worker)
    connection.rollback()
    plans: dict[str, str] = {}
    for text in told:
        query, plan = re.split(r"\n(?=\w.*\(cost=)", text.partition("Query Text: ")[2], maxsplit=1)
        lines = [line for line in plan.splitlines() if re.search(r"->|Cond: |^\w", line)]
        plans[query.partition("\nQuery Parameters: ")[0]] = re.sub(r"\(cost=.*?\)|\$\d+|'[^']*'", "", "\n".join(lines))
    return plans


def _one(connection: Connection, statement: LiteralString, *parameters: object) -> Any:
    row = connection.execute(statement, parameters).fetchone()
    assert row is not None
    return row[0]


@pytest.fixture
def cluster(pytestconfig: pytest.Config) -> Iterator[EmbeddedPostgres]:
    """A server that nobody has migrated anything on: without our roles."""
    chosen = pytestconfig.getoption("--postgres-bin")
    with scratch_folder() as folder, EmbeddedPostgres(folder / "postgres", pg_bin=chosen, test=True) as server:
        yield server


def _admin(cluster: EmbeddedPostgres) -> psycopg.Connection:
    return psycopg.connect(cluster.url("postgres", role=SUPERUSER), autocommit=True)


def test_many_databases_make_the_roles_at_once(cluster: EmbeddedPostgres) -> None:
    """Roles are the cluster's: whoever comes first makes them, and the others use them."""
    names = [f"database_{n}" for n in range(6)]
    with _admin(cluster) as admin:
        for name in names:
            admin.execute(sql.SQL("CREATE DATABASE {} OWNER {}").format(sql.Identifier(name), sql.Identifier(OWNER)))

    def isolated(name: str) -> tuple[list[str], str]:
        with Database(cluster.url(name)) as database:
            migrate(database)
            return isolation_faults(database), database.execute("SELECT current_user AS me")[0]["me"]

    with ThreadPoolExecutor(len(names)) as pool:
        assert [([], APP_ROLE)] * len(names) == list(pool.map(isolated, names))


def test_a_login_that_may_make_no_roles_goes_without(cluster: EmbeddedPostgres) -> None:
    """The schema is made and works, what is missing is told with its remedy; once it is there, it is used."""
    password = urlsplit(cluster.url()).password or ""
    with _admin(cluster) as admin:
        admin.execute(sql.SQL("CREATE ROLE plain LOGIN PASSWORD {}").format(password))
        admin.execute("CREATE DATABASE theirs OWNER plain")
        with Database(cluster.url("theirs", role="plain")) as database:
            migrate(database)
            make_job(database, make_mailbox(database))
            assert "plain" == database.execute("SELECT current_user AS me")[0]["me"]
            assert [f"there is no role {role}" for role in ROLES] == [
                fault.partition(":")[0] for fault in isolation_faults(database)[: len(ROLES)]
            ]
            for fault in isolation_faults(database)[: len(ROLES)]:  # its text is what to do
                admin.execute(fault.partition("as a superuser, ")[2].partition("; then")[0].encode())
            assert ["no rules are set on", "the login plain cannot act as chunk_sync_app"] == sorted(
                re.split(r" [a-z_]+,|:", fault)[0] for fault in isolation_faults(database)
            )
            assert ["policies/rows", "policies/rights"] == migrate(database).objects
            assert [] == isolation_faults(database)
            assert APP_ROLE == database.execute("SELECT current_user AS me")[0]["me"]
            assert [] == migrate(database).objects


HARMS = {
    "no rules are set on messages": (
        "ALTER TABLE chunk_sync.messages DISABLE ROW LEVEL SECURITY",
        "ALTER TABLE chunk_sync.messages ENABLE ROW LEVEL SECURITY",
    ),
    "the role chunk_sync_tenant is bound by no rule": (
        "ALTER ROLE chunk_sync_tenant BYPASSRLS",
        "ALTER ROLE chunk_sync_tenant NOBYPASSRLS",
    ),
    "one can log in as chunk_sync_operator": (
        "ALTER ROLE chunk_sync_operator LOGIN",
        "ALTER ROLE chunk_sync_operator NOLOGIN",
    ),
    "the tables' owner chunk_sync is bound by no rule": (
        "ALTER ROLE chunk_sync SUPERUSER",
        "ALTER ROLE chunk_sync NOSUPERUSER",
    ),
    "the login chunk_sync cannot act as chunk_sync_app": (
        "REVOKE chunk_sync_app FROM chunk_sync CASCADE",
        "GRANT chunk_sync_app TO chunk_sync",
    ),
}
"""What is told, how it comes about, how it is undone."""


def test_what_breaks_isolation_is_told(cluster: EmbeddedPostgres) -> None:
    """Each way in which isolation is lost has its line, alone; a connection that was open before goes on."""
    with Database(cluster.url()) as database, psycopg.connect(cluster.url(role=SUPERUSER), autocommit=True) as admin:
        migrate(database)
        for told, (harm, remedy) in HARMS.items():
            assert [] == isolation_faults(database)
            admin.execute(harm.encode())
            assert [told] == [fault.partition(":")[0] for fault in isolation_faults(database)]
            admin.execute(remedy.encode())
            database.roles_changed()
        assert [] == isolation_faults(database)
