"""Isolation: who may see and change what, see sql/policies. Here is what a look from outside finds wrong with it."""

from __future__ import annotations

from chunk_sync.store.database import APP_ROLE, Database

TENANT_ROLE = "chunk_sync_tenant"
OPERATOR_ROLE = "chunk_sync_operator"
ROLES = (APP_ROLE, TENANT_ROLE, OPERATOR_ROLE)


def isolation_faults(database: Database) -> list[str]:
    """List what keeps tenants from being isolated, each with what to do; empty when they are."""
    rows = database.rows("isolation", {"app": APP_ROLE, "roles": list(ROLES)})
    return [row["fault"] for row in rows]
