"""What a message says: what it is, how bad, since when, and what to do about it. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Literal

from chunk_sync.domain.alerts import SILENT, DueMessage

RUNBOOK: Mapping[str, str] = {
    "stuck_chunks": "Workers died without a word. `./chunk-sync recover` takes their chunks back at once; if it goes"
    " on, look why workers die (memory, disk) in logs/code-server.log and in the UI's runs.",
    "oldest_due_seconds": "Work waits longer than it should. Look at `./chunk-sync status`: is a provider throttling,"
    " or are there too few runs? CHUNK_SYNC_PARALLEL_RUNS allows more.",
    "dead_letters": "Chunks failed for good. `./chunk-sync status` says why; when the cause is gone,"
    " `./chunk-sync retry JOB` runs them again.",
    "failed_plans": "Syncs failed before their first chunk: a password that no longer holds, most of the time."
    " `./chunk-sync status` says why; when the cause is gone, `./chunk-sync sync MAILBOX` tries again.",
    "no_worker_seconds": "Work is due and nobody works. Is Dagster's daemon running, does the UI show queued or failed"
    " runs? `./chunk-sync up` starts everything; `./chunk-sync doctor` checks the installation.",
    "failure_share": "Too many attempts fail. The asset error_analysis says at which provider and why: a password that"
    " no longer holds, a provider in trouble, or throttling.",
    "standstill_seconds": "Work is due and nothing comes to an end. Look at the runs in the UI: do they hang at a mail"
    " server, or wait in the queue?",
    "forecast_drift": "Forecasts are off: do not trust the times left that `./chunk-sync status` shows. The asset"
    " forecast_score says for which mailboxes; a provider that began to throttle is the usual cause.",
    "sla_at_risk": "A promise to a tenant will probably be broken. `./chunk-sync priority JOB urgent` lets the job go"
    " first; CHUNK_SYNC_PARALLEL_RUNS allows more runs.",
    "sla_broken": "A promise to a tenant is broken. Tell the tenant; the asset tenant_sla says which and since when.",
    "deliveries_failed": "Messages about alerts did not arrive. `./chunk-sync alert list --all` says why,"
    " `./chunk-sync alert route test NAME` tries a route.",
    SILENT: "Nobody looks at alerts any more: Dagster's daemon, its code server or the database is down."
    " `./chunk-sync up` starts everything; look at logs/daemon.log and at `./chunk-sync doctor`.",
}
"""What to do about a signal."""
_ELSE = "`./chunk-sync status` and the health assets in the UI say more; docs/alerts.md has a line on each signal."
_TITLE_LENGTH = 150
_BODY_LENGTH = 2_000

Tone = Literal["failure", "warning", "success", "info"]


@dataclass(frozen=True, slots=True)
class Message:
    """What is sent; the tone is one of apprise's."""

    title: str
    body: str
    tone: Tone


def compose(due: DueMessage) -> Message:
    """Write the message of a delivery."""
    now = due.claimed_at
    where = ", ".join(filter(None, (due.tenant and f"tenant {due.tenant}", due.subject)))
    what = f"{due.signal} ({where})" if where else due.signal
    if due.kind == "resolved":
        end = due.resolved_at or now
        lasted = f"It lasted {spell(end - due.opened_at)}, from {_moment(due.opened_at)} to {_moment(end)}."
        return _message(f"resolved: {what}", [f"It is over. The last was: {due.message}.", lasted], "success")
    lines = [
        f"{due.message}.",
        f"Since {_moment(due.opened_at)}, for {spell(now - due.opened_at)}.",
        RUNBOOK.get(due.signal, _ELSE),
        f"Alert {due.alert_id}: `./chunk-sync alert ack {due.alert_id}` says that you look after it.",
    ]
    word = {"opened": "", "escalated": "worse, ", "repeated": "still "}[due.kind] + due.level
    return _message(f"{word}: {what}", lines, "failure" if due.level == "critical" else "warning")


def trial(route: str, who: str) -> Message:
    """Write the message that tries a route."""
    return _message(f"test of the route {route}", [f"{who} tries whether alerts arrive here. They do."], "info")


def silence(last_seen: datetime, now: datetime, trouble: str | None) -> Message:
    """Write what the dead-man's switch says; `trouble` is why the database cannot be asked."""
    lines = [
        f"No sign of life since {_moment(last_seen)}, for {spell(now - last_seen)}.",
        f"The database does not answer: {trouble}." if trouble else "The database answers.",
        RUNBOOK[SILENT],
    ]
    return _message(f"critical: {SILENT}", lines, "failure")


def revival(since: datetime, now: datetime) -> Message:
    """Write that what the dead-man's switch said is over."""
    lines = [f"Signs of life again, after {spell(now - since)} without one, since {_moment(since)}."]
    return _message(f"resolved: {SILENT}", lines, "success")


def spell(length: timedelta) -> str:
    """Write a length of time as `3 s`, `12 min`, `5 h 3 min` or `2 d 4 h`."""
    seconds = max(0, round(length.total_seconds()))
    for unit, size, part, part_size in (("d", 86_400, "h", 3_600), ("h", 3_600, "min", 60)):
        if seconds >= size:
            rest = seconds % size // part_size
            return f"{seconds // size} {unit}" + (f" {rest} {part}" if rest else "")
    return f"{seconds // 60} min" if seconds >= 60 else f"{seconds} s"  # noqa: PLR2004 - seconds a minute


def _message(title: str, lines: list[str], tone: Tone) -> Message:
    """One line of title: it becomes a header, and names of mailboxes and tenants are anybody's."""
    head = " ".join(f"chunk_sync {title}".split())
    head = "".join(character if character.isprintable() else " " for character in head)
    return Message(head[:_TITLE_LENGTH], "\n".join(lines)[:_BODY_LENGTH], tone)


def _moment(moment: datetime) -> str:
    return moment.astimezone(UTC).strftime("%Y-%m-%d %H:%M UTC")
