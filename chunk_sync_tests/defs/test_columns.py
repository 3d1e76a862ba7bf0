"""What Dagster's Columns section says of tables and views is what the database has."""

from __future__ import annotations

import dagster as dg
import pytest

from chunk_sync.definitions import defs
from chunk_sync.defs.columns import SCHEMAS
from chunk_sync.store.database import Database


@pytest.mark.parametrize("relation", SCHEMAS)
def test_columns_are_those_of_the_database(database: Database, relation: str) -> None:
    """Names and types; each is described."""
    rows = database.execute(
        "SELECT a.attname AS name, format_type(a.atttypid, NULL) AS type FROM pg_attribute AS a"
        " WHERE a.attrelid = %s::regclass AND a.attnum > 0 AND NOT a.attisdropped",
        (relation,),
    )
    found = {row["name"]: row["type"] for row in rows}
    told = {column.name: column.type for column in SCHEMAS[relation].columns}
    assert told == {name: found.get(name) for name in told}
    assert all(column.description for column in SCHEMAS[relation].columns)


def test_assets_carry_them() -> None:
    """Each asset that is a table says which."""
    graph = defs.resolve_asset_graph()
    shown = {
        key: graph.get(dg.AssetKey(key)).metadata.get("dagster/table_name")
        for key in ("mailboxes", "planned_chunks", "synced_emails")
    }
    assert shown == {
        "mailboxes": "chunk_sync.mailboxes",
        "planned_chunks": "chunk_sync.chunk_processing_status",
        "synced_emails": "chunk_sync.emails",
    }
