"""What tenants were promised, and the verdict on the whole system."""
# ruff: noqa: PLC0415 - pandas is imported late: only the health job needs it

from dataclasses import asdict
from typing import Any

import dagster as dg

from chunk_sync.defs.attempts import (
    chunk_attempts,
    error_analysis,
    recovery_effectiveness,
    retry_effectiveness,
    throughput_trend,
)
from chunk_sync.defs.costs import sync_costs
from chunk_sync.defs.forecasts import backlog_forecast
from chunk_sync.defs.health import mail_problems, mailbox_progress, queue_health
from chunk_sync.defs.resources import ChunkSync
from chunk_sync.defs.show import check_of, count_check, health_asset, picture, table
from chunk_sync.domain.partitions import KEY_WINDOW, PARTITIONS_NAME
from chunk_sync.store import health as rows
from chunk_sync.store import slas

_SHOWN = 200
_TREND_HOURS = 24


@health_asset(
    deps=[chunk_attempts, mailbox_progress, backlog_forecast],
    description="What tenants were promised (`./chunk-sync sla`): deadlines, freshness, failure budgets; how each "
    "stands: kept, at risk, broken.",
    relation="sla_states",
    checks={"promises_kept": "No promise is broken, and none will probably be."},
)
def tenant_sla(chunk_sync: ChunkSync) -> dg.MaterializeResult[Any]:
    """Judge every promise and keep the verdicts in the table `sla_states`."""
    from chunk_sync.health.charts import bar_chart
    from chunk_sync.health.sla import judge, summarize_states

    database = chunk_sync.database()
    rules = slas.sla_rules(database)
    boxes = slas.sla_mailboxes(database, [rule["tenant_id"] for rule in rules])
    states = judge(rules, boxes, slas.sla_failures(database, rules), rows.clock(database))
    slas.replace_sla_states(database, [asdict(state) for state in states])
    found = summarize_states(states)
    for tenant_id, numbers in found.by_tenant.items():
        rows.note_numbers(database, "tenant_sla", numbers, tenant_id)
    rows.note_numbers(database, "tenant_sla", found.by_state)
    return dg.MaterializeResult(
        metadata={
            "chart": picture(bar_chart(found.by_state, "promises")),
            "not_kept": table(found.not_kept.head(_SHOWN).to_dict("records")),
            "budgets": table(found.budgets.head(_SHOWN).to_dict("records")),
            **found.by_state,
        },
        check_results=[check_of("promises_kept", ["sla_broken", "sla_at_risk"], rows.alert_rows(database))],
    )


@health_asset(
    deps=[
        queue_health,
        mailbox_progress,
        mail_problems,
        error_analysis,
        throughput_trend,
        retry_effectiveness,
        recovery_effectiveness,
        backlog_forecast,
        sync_costs,
        tenant_sla,
    ],
    description="The verdict: healthy, warning or degraded by the last hour's attempts; ok, warn or critical by what "
    "is alarming now.",
    checks={
        "no_duplicate_landings": "No chunk was completed twice with one lease.",
        "landed_as_planned": "Completed jobs have exactly the messages that were planned.",
        "partition_count": "Dagster knows no more chunks than CHUNK_SYNC_LIVE_KEYS, and a window.",
    },
)
def system_health(context: dg.AssetExecutionContext, chunk_sync: ChunkSync) -> dg.MaterializeResult[Any]:
    """Judge the system by its queue, its last hour and its alerts."""
    from chunk_sync.health.charts import line_chart
    from chunk_sync.health.queue_health import summarize
    from chunk_sync.health.system_health import judge_system

    database = chunk_sync.database()
    queue = summarize(rows.queue_rows(database), rows.attempt_rows(database, hours=1))
    verdict = judge_system(queue, rows.alert_rows(database))
    numbers = {"level": verdict.level, "warnings": verdict.warnings, "critical": verdict.critical, "due": queue.due}
    rows.note_numbers(database, "system_health", numbers)
    past = [row["numbers"] for row in rows.history(database, "system_health", _TREND_HOURS)]
    lines = {name: [float(numbers[name]) for numbers in past] for name in ("warnings", "critical")}
    wrong = rows.check_rows(database)
    keys = len(context.instance.get_dynamic_partitions(PARTITIONS_NAME))
    most = chunk_sync.settings().live_keys + KEY_WINDOW
    return dg.MaterializeResult(
        metadata={
            "overall_health": verdict.overall_health,
            "alert_level": verdict.alert_level,
            "alerts": table(verdict.alerts.to_dict("records")),
            "chart": picture(line_chart(lines, "alerts", f"{_TREND_HOURS} hours ago", "now")),
            "attempts_last_hour": queue.successes + queue.errors,
            "attempts_failed": queue.errors,
            "average_ms": queue.average_ms,
            **numbers,
        },
        check_results=[
            count_check("no_duplicate_landings", wrong["duplicate_landings"], 0, "chunks landed twice", error=True),
            count_check("landed_as_planned", wrong["uneven_jobs"], 0, "jobs are not as planned", error=True),
            count_check("partition_count", keys, most, "live keys", error=False),
        ],
    )
