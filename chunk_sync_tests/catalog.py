"""What a database holds, as lines that can be compared: everything of ours but the rows."""

from __future__ import annotations

import json
from typing import LiteralString

from chunk_sync.store.database import Database

Row = dict[str, object]
Tables = dict[str, list[Row]]

_ROWS: LiteralString = "SELECT to_jsonb(t) AS row FROM chunk_sync.TABLE AS t"
# Each query gives lines; all schemas but PostgreSQL's own are ours.
_OWN: LiteralString = "n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'"
_CATALOGS: tuple[LiteralString, ...] = (
    f"""
    SELECT concat_ws(' ', 'schema', n.nspname, n.nspowner::regrole, n.nspacl) FROM pg_namespace AS n WHERE {_OWN}
    """,
    f"""
    SELECT concat_ws(' ', 'relation', c.relkind, c.oid::regclass, c.relpersistence, c.relowner::regrole, c.relacl,
        c.reloptions, 'rls', c.relrowsecurity, c.relforcerowsecurity, c.relreplident, pg_get_viewdef(c.oid))
    FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace WHERE {_OWN} AND c.relkind <> 't'
    """,
    f"""
    SELECT concat_ws(' ', 'column', a.attrelid::regclass, a.attname, format_type(a.atttypid, a.atttypmod),
        CASE WHEN a.attnotnull THEN 'not null' END, 'default ' || pg_get_expr(d.adbin, d.adrelid), a.attidentity,
        a.attgenerated, a.attstorage, a.attcompression, a.attcollation::regcollation, a.attoptions, a.attacl)
    FROM pg_attribute AS a JOIN pg_class AS c ON c.oid = a.attrelid JOIN pg_namespace AS n ON n.oid = c.relnamespace
    LEFT JOIN pg_attrdef AS d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
    WHERE {_OWN} AND a.attnum > 0 AND NOT a.attisdropped AND c.relkind <> 't'
    """,
    f"""
    SELECT concat_ws(' ', 'order', c.oid::regclass, string_agg(a.attname, ' ' ORDER BY a.attnum))
    FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace JOIN pg_attribute AS a ON a.attrelid = c.oid
    WHERE {_OWN} AND a.attnum > 0 AND NOT a.attisdropped AND c.relkind IN ('r', 'p', 'v', 'm') GROUP BY c.oid
    """,
    f"""
    SELECT concat_ws(' ', 'constraint', k.conrelid::regclass, k.conname, pg_get_constraintdef(k.oid), k.convalidated)
    FROM pg_constraint AS k JOIN pg_namespace AS n ON n.oid = k.connamespace WHERE {_OWN}
    """,
    f"""
    SELECT concat_ws(' ', 'index', pg_get_indexdef(i.indexrelid), i.indisvalid, i.indisclustered, i.indisreplident)
    FROM pg_index AS i JOIN pg_class AS c ON c.oid = i.indexrelid JOIN pg_namespace AS n ON n.oid = c.relnamespace
    WHERE {_OWN} AND c.relkind <> 't' AND n.nspname <> 'pg_toast'
    """,
    f"""
    SELECT concat_ws(' ', 'sequence', s.seqrelid::regclass, s.seqtypid::regtype, s.seqstart, s.seqincrement,
        s.seqmax, s.seqmin, s.seqcache, s.seqcycle, pg_get_serial_sequence(d.refobjid::regclass::text, a.attname))
    FROM pg_sequence AS s JOIN pg_class AS c ON c.oid = s.seqrelid JOIN pg_namespace AS n ON n.oid = c.relnamespace
    LEFT JOIN pg_depend AS d ON d.objid = c.oid AND d.classid = 'pg_class'::regclass AND d.deptype IN ('a', 'i')
    LEFT JOIN pg_attribute AS a ON a.attrelid = d.refobjid AND a.attnum = d.refobjsubid
    WHERE {_OWN}
    """,
    f"""
    SELECT concat_ws(' ', 'function', p.proowner::regrole, p.proacl, pg_get_functiondef(p.oid))
    FROM pg_proc AS p JOIN pg_namespace AS n ON n.oid = p.pronamespace WHERE {_OWN} AND p.prokind <> 'a'
    """,
    f"""
    SELECT concat_ws(' ', 'trigger', pg_get_triggerdef(t.oid), t.tgenabled) FROM pg_trigger AS t
    JOIN pg_class AS c ON c.oid = t.tgrelid JOIN pg_namespace AS n ON n.oid = c.relnamespace
    WHERE {_OWN} AND NOT t.tgisinternal
    """,
    f"""
    SELECT concat_ws(' ', 'policy', p.polrelid::regclass, p.polname, p.polcmd, p.polpermissive, p.polroles::regrole[],
        pg_get_expr(p.polqual, p.polrelid), 'check', pg_get_expr(p.polwithcheck, p.polrelid))
    FROM pg_policy AS p JOIN pg_class AS c ON c.oid = p.polrelid JOIN pg_namespace AS n ON n.oid = c.relnamespace
    WHERE {_OWN}
    """,
    f"""
    SELECT concat_ws(' ', 'type', t.oid::regtype, t.typtype, t.typowner::regrole, t.typacl,
        format_type(t.typbasetype, t.typtypmod), t.typnotnull, t.typdefault,
        (SELECT string_agg(e.enumlabel, ' ' ORDER BY e.enumsortorder) FROM pg_enum AS e WHERE e.enumtypid = t.oid))
    FROM pg_type AS t JOIN pg_namespace AS n ON n.oid = t.typnamespace WHERE {_OWN}
    """,
    f"""
    SELECT concat_ws(' ', 'statistics', pg_get_statisticsobjdef(s.oid)) FROM pg_statistic_ext AS s
    JOIN pg_namespace AS n ON n.oid = s.stxnamespace WHERE {_OWN}
    """,
    """
    SELECT concat_ws(' ', 'comment', o.type, o.identity, d.description) FROM pg_description AS d
    CROSS JOIN LATERAL pg_identify_object(d.classoid, d.objoid, d.objsubid) AS o WHERE o.schema = 'chunk_sync'
    """,
    """
    SELECT concat_ws(' ', 'setting', s.setrole, s.setconfig) FROM pg_db_role_setting AS s
    JOIN pg_database AS d ON d.oid = s.setdatabase WHERE d.datname = current_database()
    """,
    "SELECT concat_ws(' ', 'default', d.defaclobjtype, d.defaclrole::regrole, d.defaclacl) FROM pg_default_acl AS d",
    "SELECT concat_ws(' ', 'extension', e.extname, e.extversion) FROM pg_extension AS e",
)


def catalog(database: Database) -> list[str]:
    """List everything in the database but rows, in an order that does not depend on how it came to be."""
    lines = [str(line) for query in _CATALOGS for row in database.execute(query) for line in row.values()]
    return sorted(lines)


def rows(database: Database) -> Tables:
    """Read every table of ours, values as PostgreSQL writes them in JSON."""
    tables = database.execute(
        "SELECT c.relname AS name FROM pg_class AS c WHERE c.relnamespace = 'chunk_sync'::regnamespace"
        " AND c.relkind IN ('r', 'p') ORDER BY c.relname"
    )
    return {
        table: in_order([row["row"] for row in database.execute(_ROWS.replace("TABLE", table))])  # type: ignore[arg-type]
        for table in (row["name"] for row in tables)
    }


def in_order(found: list[Row]) -> list[Row]:
    """Sort rows by what is in them."""
    return sorted(found, key=lambda row: json.dumps(row, sort_keys=True))
