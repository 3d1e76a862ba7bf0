"""Attempts by the hour, and what they tell: what fails, how much lands, what retries and recoveries are good for.

pandas is imported late: every run that starts would pay for it, and only the health job needs it.
"""
# ruff: noqa: PLC0415

from typing import Any

import dagster as dg

from chunk_sync.defs.assets import synced_emails
from chunk_sync.defs.resources import ChunkSync
from chunk_sync.defs.show import check_of, health_asset, picture, table
from chunk_sync.store import health as rows
from chunk_sync.store.rollup import fold_hours, roll_up_attempts

_CATCH_UP_SECONDS = 20.0
_SHOWN = 100


@health_asset(
    deps=[synced_emails],
    description="Attempts by hour, mailbox, status and category, summed up: the table `attempt_hours` outlives them.",
    relation="attempt_hours",
)
def chunk_attempts(chunk_sync: ChunkSync) -> dg.MaterializeResult[Any]:
    """Write the hours that have changed since the last time; those that are over go into the totals."""
    from chunk_sync.health.attempt_hours import hour_rows
    from chunk_sync.health.charts import line_chart
    from chunk_sync.health.errors import HOURS, attempts_by_hour

    database = chunk_sync.database()
    written = roll_up_attempts(database, hour_rows, seconds=_CATCH_UP_SECONDS)
    fold_hours(database)
    by_hour = attempts_by_hour(rows.error_rows(database, HOURS), rows.clock(database))
    chart = line_chart(by_hour, "attempts by hour", f"{HOURS} hours ago", "now")
    return dg.MaterializeResult(
        metadata={
            "chart": picture(chart),
            "hours_written": written,
            **{f"{name}_this_hour": int(counts[-1]) for name, counts in by_hour.items()},
        }
    )


@health_asset(
    deps=[chunk_attempts],
    description="What failed in the last day by category, provider and tenant, its share, and whether it becomes more.",
    checks={"failure_share": "Not too many of the attempts of the last hour have failed."},
)
def error_analysis(chunk_sync: ChunkSync) -> dg.MaterializeResult[Any]:
    """Analyze the hours of the last two days."""
    from chunk_sync.health.charts import line_chart
    from chunk_sync.health.errors import HOURS, analyze_errors

    database = chunk_sync.database()
    found = analyze_errors(rows.error_rows(database, HOURS), rows.clock(database))
    numbers = {
        "attempts": found.attempts,
        "failures": found.failures,
        "failure_share": found.failure_share,
        "dead_letters": found.dead_letters,
    }
    rows.note_numbers(database, "error_analysis", numbers)
    return dg.MaterializeResult(
        metadata={
            "chart": picture(line_chart(found.by_hour, "failed attempts by hour", f"{HOURS} hours ago", "now")),
            "by_category": table(found.by_category.to_dict("records")),
            "by_provider": table(found.by_provider.head(_SHOWN).to_dict("records")),
            "by_tenant": table(found.by_tenant.head(_SHOWN).to_dict("records")),
            **numbers,
        },
        check_results=[check_of("failure_share", ["failure_share"], rows.alert_rows(database))],
    )


@health_asset(
    deps=[chunk_attempts],
    description="How much lands: by hour for a week, against yesterday and last week, and by provider.",
)
def throughput_trend(chunk_sync: ChunkSync) -> dg.MaterializeResult[Any]:
    """Trace the hours of the last week."""
    from chunk_sync.health.charts import line_chart
    from chunk_sync.health.throughput import HOURS, trace_throughput

    database = chunk_sync.database()
    found = trace_throughput(rows.throughput_rows(database, HOURS), rows.clock(database))
    numbers = {
        "emails_last_hour": found.emails_last_hour,
        "emails_last_day": found.emails_last_day,
        "megabytes_last_day": round(found.bytes_last_day / 1e6, 1),
        "against_yesterday": found.against_yesterday,
        "against_last_week": found.against_last_week,
    }
    rows.note_numbers(database, "throughput_trend", numbers)
    chart = line_chart({"emails": found.hourly}, "messages landed by hour", "8 days ago", "now")
    return dg.MaterializeResult(
        metadata={
            "chart": picture(chart),
            "by_provider": table(found.by_provider.head(_SHOWN).to_dict("records")),
            **numbers,
        }
    )


@health_asset(
    deps=[chunk_attempts],
    description="What retries saved in the last week, and the tries that blind retry would have made beside them.",
)
def retry_effectiveness(chunk_sync: ChunkSync) -> dg.MaterializeResult[Any]:
    """Rate the last failed attempts by what came after them."""
    from chunk_sync.health.charts import bar_chart
    from chunk_sync.health.retries import HOURS, LIMIT, rate_retries

    database = chunk_sync.database()
    found = rate_retries(rows.retry_rows(database, HOURS, LIMIT))
    numbers = {
        "failed_attempts": found.failed,
        "retried": found.retried,
        "rescued": found.rescued,
        "rescue_share": found.rescue_share,
        "tries_spared": found.spared,
        "fewer_failures_than_blind_retry": found.spared_share,
    }
    rows.note_numbers(database, "retry_effectiveness", numbers)
    rescued = dict(zip(found.by_category["error_category"], found.by_category["rescued"].astype(int), strict=True))
    return dg.MaterializeResult(
        metadata={
            "chart": picture(bar_chart(rescued, "chunks rescued by a retry")),
            "by_category": table(found.by_category.to_dict("records")),
            **numbers,
        }
    )


@health_asset(
    deps=[chunk_attempts],
    description="Chunks whose worker died in the last week: how soon they were back, and what became of them.",
)
def recovery_effectiveness(chunk_sync: ChunkSync) -> dg.MaterializeResult[Any]:
    """Rate the last recoveries."""
    from chunk_sync.health.charts import bar_chart
    from chunk_sync.health.recoveries import HOURS, LIMIT, rate_recoveries

    database = chunk_sync.database()
    found = rate_recoveries(rows.recovery_rows(database, HOURS, LIMIT))
    numbers = {
        "recovered": found.recovered,
        "by_itself": found.by_itself,
        "silent_seconds": found.silent_seconds,
        "again_seconds": found.again_seconds,
        "slowest_seconds": found.slowest_seconds,
        "saved_share_of_ten_minutes": found.saved_share,
    }
    rows.note_numbers(database, "recovery_effectiveness", numbers)
    chart = picture(bar_chart(found.by_status, "recovered chunks, what they are now"))
    return dg.MaterializeResult(metadata={"chart": chart, **numbers})
