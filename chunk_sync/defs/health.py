"""The queue, the mailboxes and the mail as they are now: computed with pandas, shown with a chart, a table and numbers.

pandas is imported late: every run that starts would pay for it, and only the health job needs it.
"""
# ruff: noqa: PLC0415

from dataclasses import asdict
from typing import Any

import dagster as dg

from chunk_sync.defs.assets import synced_emails
from chunk_sync.defs.attempts import chunk_attempts
from chunk_sync.defs.resources import ChunkSync
from chunk_sync.defs.show import GROUP, check_of, health_asset, picture, table
from chunk_sync.store import health as rows
from chunk_sync.store.reading import mail_problems as problem_rows
from chunk_sync.store.reading import problem_counts

_MAILBOXES_SHOWN = 200
_TREND_HOURS = 24
_SIGNALS = {
    "no_stuck_chunks": ("stuck_chunks", "no_worker_seconds"),
    "due_chunks_in_time": ("oldest_due_seconds",),
    "something_moves": ("standstill_seconds",),
    "no_dead_letters": ("dead_letters",),
}


@health_asset(
    deps=[chunk_attempts],
    description="The queue now and its last hour: chunks by status, what is due and since when, workers, failures by "
    "category.",
    checks={
        "no_stuck_chunks": "No chunk is held by a worker that is dead, and work that is due has a worker.",
        "due_chunks_in_time": "The oldest due chunk has not waited for too long.",
        "something_moves": "Attempts end while work is due.",
        "no_dead_letters": "No chunk has failed for good in the last day.",
    },
)
def queue_health(chunk_sync: ChunkSync) -> dg.MaterializeResult[Any]:
    """Summarize the queue and the attempts of the last hour."""
    from chunk_sync.health.charts import bar_chart, line_chart
    from chunk_sync.health.queue_health import summarize

    database = chunk_sync.database()
    health = summarize(rows.queue_rows(database), rows.attempt_rows(database, hours=1))
    chart = dict(zip(health.by_status["status"], health.by_status["chunks"].astype(int), strict=True))
    workers = rows.worker_counts(database)
    numbers = {
        "due_chunks": health.due,
        "oldest_due_seconds": health.oldest_due_seconds,
        "attempts_succeeded": health.successes,
        "attempts_failed": health.errors,
        "emails_last_hour": health.emails,
        "emails_per_second": health.emails_per_second,
        "workers": workers["workers"],
        "chunks_held": workers["held"],
        "mailboxes_paused": workers["paused"],
        "mailboxes_turned_away": workers["turned_away"],
    }
    rows.note_numbers(database, "queue_health", numbers)
    past = [float(row["numbers"]["due_chunks"]) for row in rows.history(database, "queue_health", _TREND_HOURS)]
    alerts = rows.alert_rows(database)
    return dg.MaterializeResult(
        metadata={
            "overall_health": health.overall_health,
            "chart": picture(bar_chart(chart, "chunks by status")),
            "trend": picture(line_chart({"due": past}, "due chunks", f"{_TREND_HOURS} hours ago", "now")),
            "by_mailbox": table(health.by_mailbox.head(_MAILBOXES_SHOWN).to_dict("records")),
            "by_category": table(health.by_category.to_dict("records")),
            **numbers,
        },
        check_results=[check_of(name, signals, alerts) for name, signals in _SIGNALS.items()],
    )


@health_asset(
    deps=[synced_emails],
    description="Every mailbox's sync: how much of how much, moving or turned away until when, what failed and why, "
    "and when it will end.",
    checks={"syncs_begin": "No mailbox's last sync failed before its first chunk."},
)
def mailbox_progress(chunk_sync: ChunkSync) -> dg.MaterializeResult[Any]:
    """Summarize the mailboxes' open sync jobs, or their last ones."""
    from chunk_sync.health.charts import bar_chart
    from chunk_sync.health.mailbox_progress import summarize_progress

    database = chunk_sync.database()
    found = summarize_progress(rows.progress_rows(database))
    numbers = {
        "landed": found.landed,
        "planned": found.planned,
        "percent": found.percent,
        "emails_per_second": found.emails_per_second,
        "failures_last_hour": found.failures,
        **{f"mailboxes_{state.replace(' ', '_')}": count for state, count in found.by_state.items()},
    }
    rows.note_numbers(database, "mailbox_progress", numbers)
    return dg.MaterializeResult(
        metadata={
            "mailboxes": table(found.table.head(_MAILBOXES_SHOWN).to_dict("records")),
            "chart": picture(bar_chart(found.by_state, "mailboxes by state")),
            **numbers,
        },
        check_results=[check_of("syncs_begin", ["failed_plans"], rows.alert_rows(database))],
    )


@health_asset(
    deps=[synced_emails],
    description="What could not be read or stored: unparsable, defective and quarantined messages, and why.",
)
def mail_problems(chunk_sync: ChunkSync) -> dg.MaterializeResult[Any]:
    """Count what is in the view mail_problems, and list its newest by their ids."""
    from chunk_sync.health.mail_problems import newest_problems, summarize_problems

    database = chunk_sync.database()
    found = summarize_problems(problem_counts(database))
    return dg.MaterializeResult(
        metadata={
            **found.by_kind,
            "by_reason": table(found.by_reason.to_dict("records")),
            "newest": picture(newest_problems([asdict(one) for one in problem_rows(database)])),
        }
    )


health_job = dg.define_asset_job("health", selection=dg.AssetSelection.groups(GROUP), description="Health, now.")
health_schedule = dg.ScheduleDefinition(
    name="health_every_5_minutes",
    job=health_job,
    cron_schedule="*/5 * * * *",
    default_status=dg.DefaultScheduleStatus.RUNNING,
)
