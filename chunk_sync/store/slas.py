"""What tenants were promised, what is known about it, and how it stands."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import timedelta

from psycopg.types.json import Jsonb

from chunk_sync.errors import UsageError
from chunk_sync.store.database import Database, Row, query


def sla_rules(database: Database) -> list[Row]:
    """List the tenants that were promised something, with their own rule or everybody's (seconds)."""
    return database.rows("sla_rules")


def sla_mailboxes(database: Database, tenant_ids: Sequence[int]) -> list[Row]:
    """List the mailboxes of tenants with the moments that promises are about."""
    return database.rows("sla_mailboxes", {"tenant_ids": list(tenant_ids)})


def sla_failures(database: Database, rules: Sequence[Mapping[str, object]]) -> list[Row]:
    """Count ended chunks and dead letters of tenants, over the span of each rule and lately."""
    parameters = {"tenant_ids": [rule["tenant_id"] for rule in rules], "spans": [rule["span"] for rule in rules]}
    return database.rows("sla_failures", parameters)


def replace_sla_states(database: Database, states: Sequence[Mapping[str, object]]) -> None:
    """Write how every promise stands now, all or nothing."""
    with database.transaction() as conn:
        conn.execute(query("sla_states_delete"))
        if states:
            with conn.cursor() as cursor:
                cursor.executemany(query("sla_state_insert"), states)


@dataclass(frozen=True, slots=True)
class Promise:
    """What is promised; None: nothing of the kind. `failure_budget` is a share of all chunks."""

    first_sync_within: timedelta | None = None
    freshness_within: timedelta | None = None
    failure_budget: float | None = None


def set_sla(database: Database, tenant: str | None, promise: Promise, *, actor: str) -> None:
    """Promise something to a tenant, or to everybody (None); what is not given is kept as it was. It is audited.

    Raises UsageError for a tenant that is not there.
    """
    with database.transaction() as conn:
        if conn.execute(query("sla_set"), {"tenant": tenant, **asdict(promise)}).fetchone() is None:
            message = f"there is no tenant {tenant!r}; `./chunk-sync mailbox list` shows those that there are"
            raise UsageError(message)
        told = {name: str(value) for name, value in asdict(promise).items() if value is not None}
        conn.execute(query("sla_audit"), _audit(actor, "sla_promised", tenant, told))


def remove_sla(database: Database, tenant: str | None, *, actor: str) -> bool:
    """Take a promise back, audited; whether there was one."""
    with database.transaction() as conn:
        if conn.execute(query("sla_remove"), {"tenant": tenant}).fetchone() is None:
            return False
        conn.execute(query("sla_audit"), _audit(actor, "sla_removed", tenant, {}))
        return True


def sla_overview(database: Database) -> list[Row]:
    """List all promises as they were made, and how many of each stand how."""
    return database.rows("sla_list")


def _audit(actor: str, action: str, tenant: str | None, details: Mapping[str, str]) -> dict[str, object]:
    return {"actor": actor, "action": action, "tenant": tenant, "details": Jsonb(dict(details))}
