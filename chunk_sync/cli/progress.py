"""Progress on the terminal: landed of planned, rate, ETA, failures by category."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime

from rich.console import Group, RenderableType
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from chunk_sync.cli.session import printable
from chunk_sync.domain.progress import Meter
from chunk_sync.store.database import Database
from chunk_sync.store.status import JobStatus, failed_attempts

Range = tuple[datetime, datetime]

_COLORS = {
    "completed": "green",
    "failed": "red",
    "partial_failure": "red",
    "processing": "blue",
    "cancelled": "yellow",
}


class ProgressView:
    """Draws sync jobs; keeps a meter per job between two drawings."""

    def __init__(self) -> None:
        self._meters: dict[int, Meter] = {}

    def render(self, database: Database, jobs: Sequence[JobStatus]) -> RenderableType:
        """Draw the jobs, the newest first, and what failed."""
        return Group(self.table(jobs), *_failures(failed_attempts(database, [job.job_id for job in jobs])))

    def table(self, jobs: Sequence[JobStatus], ends: Mapping[int, Range] | None = None) -> RenderableType:
        """Draw the jobs, and what each of them has to say; `ends` are the ranges of forecasts by the jobs' ids."""
        now = time.monotonic()
        table = Table(
            "job",
            "mailbox",
            "type",
            "state",
            "",
            "landed of planned",
            "rate",
            "ETA",
            box=None,
            pad_edge=False,
        )
        for job in jobs:
            meter = self._meters.setdefault(job.job_id, Meter())
            meter.feed(now, job.emails_processed)
            table.add_row(*self._row(job, meter, (ends or {}).get(job.job_id)))
        return Group(table, *_changes(jobs), *_troubles(jobs))

    def line(self, jobs: Sequence[JobStatus]) -> str:
        """Say it in one line, for a log."""
        now = time.monotonic()
        parts: list[str] = []
        for job in reversed(jobs):
            meter = self._meters.setdefault(job.job_id, Meter())
            meter.feed(now, job.emails_processed)
            parts.append(
                f"{job.mailbox} #{job.job_id} {job.status}: {_landed(job)}, {_rate(job, meter)}, ETA {_eta(job, meter)}"
            )
        return "; ".join(parts)

    @staticmethod
    def _row(job: JobStatus, meter: Meter, ends: Range | None) -> tuple[RenderableType, ...]:
        state = job.overall_status if job.status not in {"requested", "planning"} else job.status
        return (
            f"#{job.job_id}",
            Text(printable(job.mailbox)),
            job.sync_type,
            Text(state, style=_COLORS.get(state, "")),
            ProgressBar(total=max(job.emails_estimated, 1), completed=_shown(job), width=24),
            f"{_landed(job)} · {job.bytes_processed / 1e6:,.1f} MB",
            _rate(job, meter),
            _range(ends) if ends and job.open and not job.throttled_until else _eta(job, meter),
        )


def _landed(job: JobStatus) -> str:
    return (
        f"{job.emails_processed:,} of {job.emails_estimated:,} messages,"
        f" {job.completed_chunks} of {job.total_chunks} chunks"
    )


def _shown(job: JobStatus) -> int:
    return max(job.emails_estimated, 1) if job.status == "completed" else job.emails_processed


def _rate(job: JobStatus, meter: Meter) -> str:
    rate = meter.rate if job.open else job.emails_per_second
    return f"{rate:,.0f}/s" if rate else "-"


def _eta(job: JobStatus, meter: Meter) -> str:
    if not job.open:
        seconds = (job.completed_at - job.created_at).total_seconds() if job.completed_at else 0
        return f"done in {duration(seconds)}"
    if job.throttled_until:
        return f"waits until {job.throttled_until.astimezone():%H:%M:%S}"
    left = meter.seconds_left(job.emails_estimated - job.emails_processed)
    if left is None and job.eta:
        left = (job.eta - datetime.now(UTC)).total_seconds()
    return "-" if left is None or not job.emails_estimated else duration(left)


def _range(ends: Range) -> str:
    low, high = (duration((end - datetime.now(UTC)).total_seconds()) for end in ends)
    return low if low == high else f"{low} to {high}"


def duration(seconds: float) -> str:
    """Say how long something takes, in the two largest units."""
    whole = max(0, round(seconds))
    if whole < 60:  # noqa: PLR2004
        return f"{whole} s"
    if whole < 3600:  # noqa: PLR2004
        return f"{whole // 60} min {whole % 60:02d} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02d} min"


def _changes(jobs: Sequence[JobStatus]) -> list[Text]:
    """Say what a plan has done by itself: no chunk shows it."""
    return [
        Text(f"#{job.job_id} plan: {job.flags_changed:,} messages changed flags, {job.vanished:,} vanished")
        for job in jobs
        if job.flags_changed or job.vanished
    ]


def _troubles(jobs: Sequence[JobStatus]) -> list[Text]:
    return [
        Text(printable(f"#{job.job_id} {job.error_category}: {job.error_message}"), style="red")
        for job in jobs
        if job.error_message
    ]


def _failures(counts: dict[str, int]) -> list[Text]:
    if not counts:
        return []
    return [
        Text(
            "failed attempts: " + ", ".join(f"{category} {count}" for category, count in counts.items()),
            style="yellow",
        )
    ]
