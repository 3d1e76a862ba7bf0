"""What syncing costs: API calls, bytes and seconds by tenant, provider and mailbox; slow folders, hot spots of errors.

pandas is imported late: every run that starts would pay for it, and only the health job needs it.
"""
# ruff: noqa: PLC0415

from typing import Any

import dagster as dg

from chunk_sync.defs.attempts import chunk_attempts
from chunk_sync.defs.resources import ChunkSync
from chunk_sync.defs.show import health_asset, picture, table
from chunk_sync.store import costs as rows
from chunk_sync.store.health import note_numbers

_SHOWN = 50


@health_asset(
    deps=[chunk_attempts],
    description="What syncing cost in the last week: API calls, bytes and seconds by tenant, provider and mailbox; the "
    "slowest folders, where most attempts fail, and how near mailboxes are to their providers' quotas.",
)
def sync_costs(chunk_sync: ChunkSync) -> dg.MaterializeResult[Any]:
    """Sum up the hours of the last week."""
    from chunk_sync.health.charts import line_chart
    from chunk_sync.health.costs import DAYS, hot_spots, slow_folders, sum_up_costs, used_quotas

    database = chunk_sync.database()
    found = sum_up_costs(rows.cost_rows(database, DAYS))
    numbers = {**found.totals, **{f"{name}_per_1000_messages": figure for name, figure in found.per_1000.items()}}
    quotas = used_quotas(rows.quota_rows(database, _SHOWN))
    numbers["highest_quota_share"] = float(quotas["share"].max()) if len(quotas) else 0.0
    note_numbers(database, "sync_costs", numbers)
    chart = line_chart({"seconds": found.days}, "seconds of work by day", "first", "today")
    return dg.MaterializeResult(
        metadata={
            "chart": picture(chart),
            "by_tenant": table(found.by_tenant.head(_SHOWN).to_dict("records")),
            "by_provider": table(found.by_provider.head(_SHOWN).to_dict("records")),
            "by_mailbox": table(found.by_mailbox.head(_SHOWN).to_dict("records")),
            "slowest_folders": table(slow_folders(rows.folder_rows(database, _SHOWN)).to_dict("records")),
            "quotas": table(quotas.to_dict("records")),
            "error_hot_spots": table(hot_spots(rows.hot_spot_rows(database, _SHOWN)).to_dict("records")),
            **numbers,
        }
    )
