"""What comes: when open work will be done, what that means for promises, and how right such forecasts have been."""
# ruff: noqa: PLC0415 - pandas is imported late: only the health job needs it

from dataclasses import asdict
from typing import Any

import dagster as dg

from chunk_sync.defs.attempts import chunk_attempts
from chunk_sync.defs.resources import ChunkSync
from chunk_sync.defs.show import check_of, health_asset, picture, table
from chunk_sync.domain.forecast import Forecast
from chunk_sync.engine.forecasting import foresee_all, look_ahead
from chunk_sync.store import forecasts as store
from chunk_sync.store import health as rows
from chunk_sync.store import scaling

_TICK_SECONDS = 15
_SHOWN = 200
_TREND_HOURS = 24
_SCORE_HOURS = 24 * 7


@dg.sensor(
    name="forecasts",
    minimum_interval_seconds=_TICK_SECONDS,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Keeps samples of the progress of open syncs, forecasts when they will be over, and scores the past.",
)
def forecasts_sensor(chunk_sync: ChunkSync):  # noqa: ANN201
    """No run: a few queries over open jobs."""
    look = look_ahead(chunk_sync.database())
    return dg.SkipReason(
        f"looked at {look.samples} syncs, made {look.forecasts} forecasts, scored {look.scored}"
        if look.samples or look.scored
        else "nothing is open that was not looked at just now"
    )


@health_asset(
    deps=[chunk_attempts],
    description="When every open sync, every mailbox and the whole backlog will be done, as ranges; promises that will "
    "be broken; mailboxes that are unlike their past; how many runs are wanted.",
)
def backlog_forecast(chunk_sync: ChunkSync) -> dg.MaterializeResult[Any]:
    """Show the newest forecasts, and what follows from them."""
    from chunk_sync.health.anomaly import HOURS, find_anomalies
    from chunk_sync.health.backlog_forecast import foresee
    from chunk_sync.health.charts import line_chart

    database = chunk_sync.database()
    jobs = store.open_forecasts(database)
    found = foresee(jobs, store.promise_rows(database))
    odd = find_anomalies(store.pace_rows(database, HOURS))
    all_done = foresee_all(jobs)
    runs = scaling.wanted_row(database)
    numbers: dict[str, float] = {
        "open_syncs": found.jobs,
        "without_forecast": found.without_forecast,
        "messages_left": found.remaining,
        "promises_in_danger": len(found.breaches),
        "odd_mailboxes": len(odd),
        "wanted_runs": runs["wanted_runs"] if runs else 0,
        "backlog_seconds": runs["backlog_seconds"] if runs else 0.0,
    }
    if isinstance(all_done, Forecast) and jobs:
        now = jobs[0]["now"]
        numbers |= {
            "seconds_left": round(all_done.expected - now, 1),
            "seconds_left_low": round(all_done.low - now, 1),
            "seconds_left_high": round(all_done.high - now, 1),
        }
    rows.note_numbers(database, "backlog_forecast", numbers)
    past = [float(row["numbers"]["messages_left"]) for row in rows.history(database, "backlog_forecast", _TREND_HOURS)]
    return dg.MaterializeResult(
        metadata={
            "chart": picture(line_chart({"left": past}, "messages left", f"{_TREND_HOURS} hours ago", "now")),
            "drained_by": _moment(all_done),
            "promises": table(found.breaches.head(_SHOWN).to_dict("records")),
            "mailboxes": table(found.by_mailbox.head(_SHOWN).to_dict("records")),
            "syncs": table(found.by_job.head(_SHOWN).to_dict("records")),
            "unlike_their_past": table(odd.head(_SHOWN).to_dict("records")),
            "why_so_many_runs": runs["reason"] if runs else "the dispatcher has not decided yet",
            **numbers,
        }
    )


@health_asset(
    deps=[backlog_forecast],
    description="How right the forecasts of the last week were: error of the remaining time by how far a sync was and "
    "by model, bias, and how many outcomes the ranges held.",
    checks={"forecasts_hold": "Half of the last day's forecasts were off by less than half of the remaining time."},
)
def forecast_score(chunk_sync: ChunkSync) -> dg.MaterializeResult[Any]:
    """Score what has been forecast."""
    from chunk_sync.health.charts import line_chart
    from chunk_sync.health.forecast_score import score

    database = chunk_sync.database()
    found = score(store.scored_rows(database, _SCORE_HOURS))
    shown = {"daily", "by_age", "by_model"}
    numbers = {name: value for name, value in asdict(found).items() if name not in shown}
    rows.note_numbers(database, "forecast_score", numbers)
    return dg.MaterializeResult(
        metadata={
            "chart": picture(line_chart({"error": found.daily}, "median error by day", "a week ago", "today")),
            "by_age": table(found.by_age.to_dict("records")),
            "by_model": table(found.by_model.to_dict("records")),
            **numbers,
        },
        check_results=[check_of("forecasts_hold", ["forecast_drift"], rows.alert_rows(database))],
    )


def _moment(found: object) -> dg.MetadataValue:
    if not isinstance(found, Forecast):
        return dg.MetadataValue.text("nobody knows yet")
    return dg.MetadataValue.timestamp(found.expected)
