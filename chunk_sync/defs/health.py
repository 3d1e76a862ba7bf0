"""Health assets: computed with pandas, shown with a chart, a table and numbers that Dagster plots."""

from collections.abc import Hashable
from dataclasses import asdict
from typing import Any

import dagster as dg

from chunk_sync.defs.assets import OWNERS, synced_emails
from chunk_sync.defs.resources import ChunkSync
from chunk_sync.store.health import attempt_rows, progress_rows, queue_rows
from chunk_sync.store.reading import mail_problems as problem_rows
from chunk_sync.store.reading import problem_counts

_MAILBOXES_SHOWN = 200


@dg.asset(
    deps=[synced_emails],
    group_name="health",
    kinds={"pandas", "postgres"},
    owners=OWNERS,
    description="The queue now and its last hour: chunks by status, what is due and since when, failures by category.",
)
def queue_health(chunk_sync: ChunkSync) -> dg.MaterializeResult[Any]:
    """Summarize the queue and the attempts of the last hour."""
    # pandas is paid for by every run that starts: only this one needs it.
    from chunk_sync.health.charts import bar_chart  # noqa: PLC0415
    from chunk_sync.health.queue_health import summarize  # noqa: PLC0415

    database = chunk_sync.database()
    health = summarize(queue_rows(database), attempt_rows(database, hours=1))
    chart = dict(zip(health.by_status["status"], health.by_status["chunks"].astype(int), strict=True))
    return dg.MaterializeResult(
        metadata={
            "overall_health": health.overall_health,
            "chart": dg.MetadataValue.md(bar_chart(chart, "chunks by status")),
            "due_chunks": health.due,
            "oldest_due_seconds": health.oldest_due_seconds,
            "attempts_succeeded": health.successes,
            "attempts_failed": health.errors,
            "emails_last_hour": health.emails,
            "emails_per_second": health.emails_per_second,
            "by_mailbox": _table(health.by_mailbox.to_dict("records")),
            "by_category": _table(health.by_category.to_dict("records")),
        }
    )


@dg.asset(
    deps=[synced_emails],
    group_name="health",
    kinds={"pandas", "postgres"},
    owners=OWNERS,
    description="Every mailbox's sync: how much of how much, moving or turned away until when, what failed and why, "
    "and when it will end.",
)
def mailbox_progress(chunk_sync: ChunkSync) -> dg.MaterializeResult[Any]:
    """Summarize the mailboxes' open sync jobs, or their last ones."""
    from chunk_sync.health.charts import bar_chart  # noqa: PLC0415 - as above
    from chunk_sync.health.mailbox_progress import summarize_progress  # noqa: PLC0415

    found = summarize_progress(progress_rows(chunk_sync.database()))
    return dg.MaterializeResult(
        metadata={
            "mailboxes": _table(found.table.head(_MAILBOXES_SHOWN).to_dict("records")),
            "chart": dg.MetadataValue.md(bar_chart(found.by_state, "mailboxes by state")),
            "landed": found.landed,
            "planned": found.planned,
            "percent": found.percent,
            "emails_per_second": found.emails_per_second,
            "failures_last_hour": found.failures,
            **{f"mailboxes_{state.replace(' ', '_')}": count for state, count in found.by_state.items()},
        }
    )


@dg.asset(
    deps=[synced_emails],
    group_name="health",
    kinds={"pandas", "postgres"},
    owners=OWNERS,
    description="What could not be read or stored: unparsable, defective and quarantined messages, and why.",
)
def mail_problems(chunk_sync: ChunkSync) -> dg.MaterializeResult[Any]:
    """Count what is in the view mail_problems, and list its newest by their ids."""
    from chunk_sync.health.mail_problems import newest_problems, summarize_problems  # noqa: PLC0415 - as above

    database = chunk_sync.database()
    found = summarize_problems(problem_counts(database))
    return dg.MaterializeResult(
        metadata={
            **found.by_kind,
            "by_reason": _table(found.by_reason.to_dict("records")),
            "newest": dg.MetadataValue.md(newest_problems([asdict(one) for one in problem_rows(database)])),
        }
    )


health_job = dg.define_asset_job("health", selection=dg.AssetSelection.groups("health"), description="Health, now.")
health_schedule = dg.ScheduleDefinition(
    name="health_every_5_minutes",
    job=health_job,
    cron_schedule="*/5 * * * *",
    default_status=dg.DefaultScheduleStatus.RUNNING,
)


def _table(records: list[dict[Hashable, Any]]) -> dg.MetadataValue:
    if not records:
        return dg.MetadataValue.text("none")
    rows = [{str(k): v.item() if hasattr(v, "item") else v for k, v in record.items()} for record in records]
    columns = [
        dg.TableColumn(name, "string" if isinstance(value, str) else "int" if isinstance(value, int) else "float")
        for name, value in rows[0].items()
    ]
    return dg.MetadataValue.table(records=[dg.TableRecord(row) for row in rows], schema=dg.TableSchema(columns=columns))
