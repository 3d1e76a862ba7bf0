"""Isolation: everything in the schema is probed as one tenant against another one's rows, and each role's limits.

What is probed is what the catalog lists: an object that nobody thought of fails here by existing.
"""

from __future__ import annotations

import json
from typing import LiteralString, cast

import psycopg
import pytest

from chunk_sync.store.database import APP_ROLE
from chunk_sync.store.isolation import ROLES, TENANT_ROLE
from chunk_sync_tests.two_tenants import Connection, Tenant, World, act, columns, relations

BOOKS = {"schema_migrations", "schema_objects"}
"""The migrator's own, which it reads before it knows of policies: no tenant's data, and no tenant's to read."""
WITHOUT_TENANT = {
    "tenants": "id = {id}",
    "workers": "true",
    "health_thresholds": "true",
    "provider_quotas": "true",
    "provider_lanes": "false",
    "queue_rules": "false",
    "scaling_state": "false",
    "retention_policies": "false",
    "alert_pulse": "false",
}
"""Tables without the column tenant_id, and which of their rows a tenant may see."""
READABLE = {
    "alert_deliveries",
    "alert_silences",
    "alerts",
    "archived_sync_jobs",
    "attachments",
    "attempt_hours",
    "audit_log",
    "chunk_processing_queue",
    "chunk_processing_status",
    "chunked_sync_health_monitoring",
    "chunked_sync_health_summary",
    "email_threads",
    "emails",
    "error_hot_spots",
    "folder_speed",
    "folders",
    "forecasts",
    "health_alerts",
    "health_history",
    "health_thresholds",
    "mail_problems",
    "mailbox_costs",
    "mailbox_lanes",
    "mailboxes",
    "message_bodies",
    "message_locations",
    "message_raw",
    "message_search",
    "messages",
    "provider_quotas",
    "quarantined_messages",
    "quota_shares",
    "sla_states",
    "sync_chunks",
    "sync_job_folders",
    "sync_jobs",
    "tenant_lanes",
    "tenant_slas",
    "tenants",
    "thread_messages",
    "thread_nodes",
    "threads",
    "workers",
}
HIDDEN_COLUMNS = {
    "alert_deliveries": {"route_id", "route", "next_at", "last_error"},
    "alert_silences": {"created_by"},
    "alerts": {"acknowledged_by"},
    "audit_log": {"actor", "login", "run_id"},
    "mailboxes": {"credential"},
    "workers": {"name", "run_id", "started_at", "heartbeat_at"},
}
CALLABLE: dict[str, tuple[LiteralString, object]] = {
    "clock": ("SELECT clock() > 'epoch'", True),
    "get_queue_health_summary": ("SELECT get_queue_health_summary(%(chunk)s)", {"error": "Queue not found"}),
    "get_sync_job_progress_safe": ("SELECT get_sync_job_progress_safe(%(job)s)", {"error": "Sync job not found"}),
    "get_system_health_metrics": (
        "SELECT get_system_health_metrics() -> 'error_analysis'",
        [{"error_category": "permission", "count": 1, "percentage": 100}],  # bob's; ann has one too
    ),
    "quotas_used": ("SELECT count(DISTINCT tenant_id) FROM quotas_used()", 1),  # bob's; ann has used hers too
    "search_messages": ("SELECT count(*) FROM search_messages('secret', %(mailbox)s)", 0),
    "plan_is_free": ("SELECT plan_is_free(%(unplanned)s)", None),
}
"""Functions that a tenant may call, how it asks for another one's rows, and the answer."""
DEFINERS: dict[str, str] = {}
"""Functions that run with their owner's rights, each with its reason. None."""


def read(connection: Connection, relation: str, names: list[str], where: str = "true") -> list[str]:
    """Read columns of rows, as sorted JSON."""
    listed = ", ".join(names)
    rows = connection.execute(
        f"SELECT to_jsonb(x) FROM (SELECT {listed} FROM chunk_sync.{relation} WHERE {where}) x".encode()
    )
    return sorted(json.dumps(row[0], sort_keys=True) for row in rows)


def rows_of(connection: Connection, table: str, tenant: Tenant) -> str:
    """Say in SQL which rows of a table are a tenant's."""
    return WITHOUT_TENANT.get(table, "tenant_id = {id}").format(id=tenant.id)


def test_the_filler_knows_every_table(world: World) -> None:
    """Both tenants have rows in each table that has a tenant: without them the other tests would prove nothing."""
    with world.acting(None) as conn:
        tables = set(relations(conn, "r", "p")) - BOOKS - WITHOUT_TENANT.keys()
        empty = [
            (table, tenant.name)
            for table in sorted(tables)
            for tenant in (world.ann, world.bob)
            if not read(conn, table, ["tenant_id"], rows_of(conn, table, tenant))
        ]
    assert [] == empty


def test_b40_a_tenant_sees_all_of_its_own_rows_and_no_others(world: World) -> None:
    """Of every table it may read, bob sees exactly what the owner knows to be bob's; without a tenant, nothing."""
    wrong: dict[str, object] = {}
    with world.acting(None) as conn:
        for table in set(relations(conn, "r", "p")) & READABLE:
            names = columns(conn, table, TENANT_ROLE)
            act(conn, None)
            own = read(conn, table, names, rows_of(conn, table, world.bob))
            act(conn, TENANT_ROLE, world.bob)
            seen = read(conn, table, names)
            act(conn, TENANT_ROLE)
            by_nobody = read(conn, table, names)
            if (
                own != seen
                or not own
                or (by_nobody and table not in {"health_thresholds", "provider_quotas", "workers"})
            ):
                wrong[table] = (own, seen, by_nobody)
    assert {} == wrong


def test_b40_what_else_is_there_cannot_be_read(world: World) -> None:
    """Every other table, view and sequence is refused, as are the columns that are nobody's business."""
    with world.acting(TENANT_ROLE, world.bob) as conn:
        readable = [name for name in relations(conn, "r", "p", "v", "m", "f") if columns(conn, name, TENANT_ROLE)]
        assert sorted(READABLE) == readable
        everything = {
            name: f"SELECT * FROM chunk_sync.{name}" for name in relations(conn, "r", "p", "v", "m", "f", "S")
        }
        refused = {name for name, statement in everything.items() if world.refuses(statement)}
        assert (everything.keys() - READABLE) | HIDDEN_COLUMNS.keys() == refused
        for table, names in HIDDEN_COLUMNS.items():
            assert names == set(columns(conn, table, APP_ROLE)) - set(columns(conn, table, TENANT_ROLE))


def test_what_a_tenant_sees_does_not_depend_on_others(world: World) -> None:
    """Every view, and every answer of a function, is the same whether ann is there or not."""
    with world.acting(None) as conn:
        conn.execute("SELECT set_config('chunk_sync.now', clock()::text, true)")
        with_ann = everything_seen(world, conn)
        act(conn, None)
        remove(conn, world.ann)
        assert with_ann == everything_seen(world, conn)
    assert len(with_ann["chunk_processing_status"]) == 3
    assert ["error", "success"] == sorted(json.loads(row)["status"] for row in with_ann["chunked_sync_health_summary"])


def everything_seen(world: World, conn: Connection) -> dict[str, list[str]]:
    """Read all that bob may read and call all that bob may call."""
    act(conn, TENANT_ROLE, world.bob)
    seen = {name: read(conn, name, columns(conn, name, TENANT_ROLE)) for name in READABLE}
    calls = {name: call for name, (call, _) in CALLABLE.items()} | {"numbers": "SELECT get_system_health_metrics()"}
    for name, call in calls.items():
        seen[f"{name}()"] = [json.dumps(row) for row in conn.execute(call.encode(), ids(world.bob))]
    return seen


def ids(tenant: Tenant) -> dict[str, object]:
    """Name a tenant's things for the calls in CALLABLE."""
    return {
        "job": tenant.job_public_id,
        "chunk": tenant.chunk_public_id,
        "unplanned": tenant.unplanned_id,
        "mailbox": tenant.mailbox,
    }


def remove(conn: Connection, tenant: Tenant) -> None:
    """Delete a tenant and all that is its own, in whatever order the keys allow."""
    left = [name for name in relations(conn, "r", "p") if name not in BOOKS | WITHOUT_TENANT.keys()]
    while left:
        table = left.pop(0)
        try:
            with conn.transaction():
                conn.execute(f"DELETE FROM {table} WHERE tenant_id = {tenant.id}".encode())
        except psycopg.errors.ForeignKeyViolation:
            left.append(table)
    conn.execute("DELETE FROM tenants WHERE id = %s", (tenant.id,))


@pytest.mark.parametrize(
    "statement",
    [
        "INSERT INTO {} DEFAULT VALUES",
        "UPDATE {} SET {} = DEFAULT",
        "DELETE FROM {}",
        "TRUNCATE {}",
        "SELECT FROM {} FOR UPDATE",
        "LOCK TABLE {} IN SHARE MODE",
    ],
)
def test_b40_a_tenant_changes_nothing(world: World, statement: str) -> None:
    """Each way to write is refused on each table and view; who cannot insert cannot ask a unique key either."""
    with world.acting(TENANT_ROLE, world.bob) as conn:
        names = {name: columns(conn, name, APP_ROLE)[0] for name in relations(conn, "r", "p", "v")}
        allowed = [
            name
            for name, column in names.items()
            if not world.refuses(statement.replace("{}", f"chunk_sync.{name}", 1).replace("{}", column))
        ]
    assert [] == allowed


def test_a_tenant_turns_no_sequence(world: World) -> None:
    """Neither the queue's clocks nor the numbers of rows."""
    with world.acting(TENANT_ROLE, world.bob) as conn:
        sequences = relations(conn, "S")
        assert len(sequences) > 5
        calls = ("nextval('chunk_sync.{}')", "setval('chunk_sync.{}', 1)", "last_value FROM chunk_sync.{}")
        allowed = [(s, call) for s in sequences for call in calls if not world.refuses(f"SELECT {call.format(s)}")]
    assert [] == allowed


def test_b40_every_function_is_refused_or_answers_nothing_of_others(world: World) -> None:
    """A call is refused, or it is listed here and tells bob of ann's rows that there are none."""
    with world.acting(TENANT_ROLE, world.bob) as conn:
        functions = conn.execute(
            "SELECT p.proname, string_agg('NULL::' || format_type(a.type, NULL), ', ' ORDER BY a.place)"
            " FROM pg_proc AS p"
            " LEFT JOIN LATERAL unnest(p.proargtypes) WITH ORDINALITY AS a (type, place) ON true"
            " WHERE p.pronamespace = 'chunk_sync'::regnamespace GROUP BY p.oid"
        ).fetchall()
        assert len(functions) > 50
        called = [name for name, nulls in functions if not world.refuses(f"SELECT chunk_sync.{name}({nulls or ''})")]
        assert sorted(CALLABLE) == sorted(called)
        for name, (sql, expected) in CALLABLE.items():
            assert (name, expected) == (name, conn.execute(sql, ids(world.ann)).fetchall()[0][0])


RULES: LiteralString = """
SELECT format('%I is a %s', c.relname, CASE c.relkind WHEN 'm'
    THEN 'materialized view' ELSE 'thing of another kind' END)
FROM pg_class AS c WHERE c.relnamespace = 'chunk_sync'::regnamespace AND c.relkind NOT IN ('r', 'p', 'v', 'i', 'I',
    'S', 'c')
UNION ALL
SELECT format('%I is open', c.relname) FROM pg_class AS c
WHERE c.relnamespace = 'chunk_sync'::regnamespace AND c.relkind IN ('r', 'p') AND c.relname <> ALL (%(books)s)
    AND NOT (c.relrowsecurity AND c.relforcerowsecurity)
UNION ALL
SELECT format('%I: no rule says which rows are a tenant''s', c.relname) FROM pg_class AS c
WHERE c.relnamespace = 'chunk_sync'::regnamespace AND c.relkind IN ('r', 'p')
    AND c.relname <> ALL (%(books)s || %(without_tenant)s) AND NOT EXISTS (
        SELECT FROM pg_policies AS p WHERE p.schemaname = 'chunk_sync' AND p.tablename = c.relname
            AND p.roles = '{chunk_sync_tenant}' AND p.cmd = 'SELECT'
            AND p.qual ~ '^\\(tenant_id = \\( SELECT \\(NULLIF\\(current_setting\\(''app.tenant_id''')
UNION ALL
SELECT format('%I reads with its owner''s rights', c.relname) FROM pg_class AS c
WHERE c.relnamespace = 'chunk_sync'::regnamespace AND c.relkind = 'v'
    AND NOT coalesce(c.reloptions @> '{security_invoker=true}', false)
UNION ALL
SELECT format('%I runs with its owner''s rights', p.proname) FROM pg_proc AS p
WHERE p.pronamespace = 'chunk_sync'::regnamespace AND p.prosecdef AND p.proname <> ALL (%(definers)s)
UNION ALL
SELECT format('%I has no search_path of its own', p.proname) FROM pg_proc AS p
WHERE p.pronamespace = 'chunk_sync'::regnamespace AND p.prosqlbody IS NULL
    AND NOT coalesce(p.proconfig @> '{"search_path=chunk_sync, pg_temp"}', false)
UNION ALL
SELECT format('everybody may call %I', p.proname) FROM pg_proc AS p
WHERE p.pronamespace = 'chunk_sync'::regnamespace AND has_function_privilege('public', p.oid, 'EXECUTE')
UNION ALL
SELECT format('everybody has rights on %I', c.relname) FROM pg_class AS c CROSS JOIN LATERAL aclexplode(c.relacl) AS a
WHERE c.relnamespace = 'chunk_sync'::regnamespace AND a.grantee = 0
"""


def broken_rules(connection: Connection) -> list[str]:
    """Look through the catalog for what breaks a rule."""
    known = {"books": [*BOOKS], "without_tenant": [*WITHOUT_TENANT], "definers": [*DEFINERS]}
    sql = RULES.replace("%", "%%").replace("%%(", "%(")
    return [row[0] for row in connection.execute(cast("LiteralString", sql), known)]


def test_b40_every_object_keeps_the_rules(plain_connection: Connection) -> None:
    """Row security forced, views and functions with the caller's rights, pinned paths, nothing for PUBLIC."""
    assert [] == broken_rules(plain_connection)


@pytest.mark.parametrize(
    ("statement", "told"),
    [
        ("CREATE TABLE notes (tenant_id bigint)", {"notes is open", "notes: no rule says which rows are a tenant's"}),
        ("CREATE TABLE shared (name text)", {"shared is open", "shared: no rule says which rows are a tenant's"}),
        ("CREATE VIEW all_mail AS SELECT * FROM messages", {"all_mail reads with its owner's rights"}),
        ("CREATE MATERIALIZED VIEW mail AS SELECT * FROM messages", {"mail is a materialized view"}),
        (
            "CREATE FUNCTION mine() RETURNS int LANGUAGE sql SECURITY DEFINER AS 'SELECT 1'",
            {
                "everybody may call mine",
                "mine has no search_path of its own",
                "mine runs with its owner's rights",
            },
        ),
        ("GRANT SELECT ON messages TO PUBLIC", {"everybody has rights on messages"}),
        ("ALTER TABLE messages NO FORCE ROW LEVEL SECURITY", {"messages is open"}),
        ("DROP POLICY tenant ON messages", {"messages: no rule says which rows are a tenant's"}),
    ],
)
def test_what_breaks_a_rule_is_found(plain_connection: Connection, statement: str, told: set[str]) -> None:
    """The test above fails by the mere existence of such an object."""
    plain_connection.execute(statement.encode())
    assert told == set(broken_rules(plain_connection))


def test_nothing_belongs_to_a_superuser(plain_connection: Connection) -> None:
    """Everything is the owner's, whom row security binds; so are the roles, and nobody logs in as one."""
    owners = plain_connection.execute(
        "SELECT DISTINCT r.rolname, r.rolsuper OR r.rolbypassrls FROM pg_roles AS r JOIN ("
        "SELECT relowner AS oid FROM pg_class WHERE relnamespace = 'chunk_sync'::regnamespace UNION ALL"
        " SELECT proowner FROM pg_proc WHERE pronamespace = 'chunk_sync'::regnamespace UNION ALL"
        " SELECT typowner FROM pg_type WHERE typnamespace = 'chunk_sync'::regnamespace) AS o ON o.oid = r.oid"
    ).fetchall()
    assert [(plain_connection.info.user, False)] == owners
    roles = plain_connection.execute(
        "SELECT rolname FROM pg_roles WHERE rolname = ANY (%s) AND NOT (rolsuper OR rolbypassrls OR rolcanlogin)",
        ([*ROLES],),
    ).fetchall()
    assert {(role,) for role in ROLES} == set(roles)


def test_b40_the_owners_rights_are_no_way_in(world: World) -> None:
    """A view and a function that run with their owner's rights see nothing for a tenant: tables are closed to it."""
    with world.acting(None) as conn:
        conn.execute("CREATE VIEW all_jobs AS SELECT * FROM sync_jobs")
        conn.execute(
            "CREATE FUNCTION jobs() RETURNS bigint LANGUAGE sql SECURITY DEFINER SET search_path = chunk_sync, pg_temp"
            " AS 'SELECT count(*) FROM sync_jobs'"
        )
        conn.execute(
            "GRANT SELECT ON all_jobs TO chunk_sync_tenant; GRANT EXECUTE ON FUNCTION jobs TO chunk_sync_tenant"
        )
        counted = "SELECT (SELECT count(*) FROM all_jobs), jobs()"
        assert [(6, 6)] == conn.execute(counted).fetchall()
        act(conn, TENANT_ROLE, world.bob)
        assert [(0, 0)] == conn.execute(counted).fetchall()


def test_a_tenant_that_is_none_is_an_error_or_nobody(world: World) -> None:
    """The setting is a number; what is none is refused, and of an unknown one there are no rows."""
    with world.acting(TENANT_ROLE) as conn:
        conn.execute("SELECT set_config('app.tenant_id', '987654321', true)")
        assert [(0,)] == conn.execute("SELECT count(*) FROM sync_jobs").fetchall()
        conn.execute("SELECT set_config('app.tenant_id', '1 OR true', true)")
        with pytest.raises(psycopg.errors.InvalidTextRepresentation):
            conn.execute("SELECT count(*) FROM sync_jobs")
