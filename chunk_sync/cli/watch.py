"""`status`: the whole system on the terminal, once or again and again."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import suppress
from datetime import UTC, datetime

from rich.console import Group, RenderableType
from rich.live import Live
from rich.text import Text

from chunk_sync.cli.progress import ProgressView, duration
from chunk_sync.cli.readings import Reading, try_to_read
from chunk_sync.cli.session import is_terminal, out, printable
from chunk_sync.cli.status_json import status_json
from chunk_sync.errors import DatabaseUnavailable
from chunk_sync.local.signals import StopRequest
from chunk_sync.store.live import LiveStatus

Look = Callable[[], LiveStatus]

_EVERY = 1.0
_SHARE = 10.0
"""After a look comes a pause of at least so many times its own time: watching slows nothing down."""
_NO_JOBS = "no sync was asked for yet: ./chunk-sync sync MAILBOX"


def show_system(look: Look, *, as_json: bool) -> None:
    """Show one look; raises DatabaseUnavailable when there is none to be had."""
    reading = try_to_read(look)
    if reading.value is None:
        raise DatabaseUnavailable(reading.error)
    if as_json:
        _write(status_json(reading, indent=2))
    else:
        out.print(SystemView().render(reading))


def watch_system(look: Look, stop: StopRequest, *, as_json: bool, until_done: bool = False) -> None:
    """Show look after look, also while the database is away, until a signal comes or (until_done) no job is open."""
    readings = _looks(look, stop, until_done=until_done)
    if as_json:
        for reading in readings:
            _write(status_json(reading))
    elif is_terminal():
        view = SystemView()
        with Live(console=out, auto_refresh=False) as live:
            for reading in readings:
                live.update(view.render(reading), refresh=True)
    else:
        view, said = SystemView(), ""
        for reading in readings:
            line = view.line(reading)
            if line != said:
                _write(printable(line))
            said = line


def _looks(look: Look, stop: StopRequest, *, until_done: bool) -> Iterator[Reading[LiveStatus]]:
    while not stop:
        reading = try_to_read(look)
        yield reading
        if until_done and reading.value is not None and not any(job.open for job in reading.value.jobs):
            return
        stop.wait(max(_EVERY, _SHARE * reading.seconds))


class SystemView:
    """Draws looks at the system; while there are none, the last one and since when."""

    def __init__(self) -> None:
        self._progress = ProgressView()
        self._last: LiveStatus | None = None
        self._lost_at: datetime | None = None

    def render(self, reading: Reading[LiveStatus]) -> RenderableType:
        """Draw for a terminal."""
        trouble = self._note(reading)
        status = self._last
        if status is None:
            return Group(*trouble)
        jobs = self._progress.table(status.jobs, status.ends) if status.jobs else Text(_NO_JOBS)
        return Group(*trouble, Text(_system(status)), *_alerts(status), *_stopped(status), *_failures(status), jobs)

    def line(self, reading: Reading[LiveStatus]) -> str:
        """Say in one line what there is, without what changes all the time."""
        trouble = self._note(reading)
        if trouble or self._last is None:
            return "; ".join(text.plain for text in trouble)
        status = self._last
        jobs = [
            f"{job.mailbox} #{job.job_id} {job.overall_status}: {job.emails_processed:,} of {job.emails_estimated:,}"
            f" messages, {job.completed_chunks} of {job.total_chunks} chunks"
            for job in reversed(status.jobs)
            if job.open
        ]
        parts = [_counts(status), *(text.plain for text in (*_alerts(status, numbers=False), *_stopped(status)))]
        return "; ".join([*parts, *jobs])

    def _note(self, reading: Reading[LiveStatus]) -> list[Text]:
        if reading.value is not None:
            self._last, self._lost_at = reading.value, None
            return []
        self._lost_at = self._lost_at or datetime.now(UTC)
        since = f"no answer from the database since {self._lost_at.astimezone():%H:%M:%S}, trying again"
        return [Text(f"{since}: {reading.error}", style="bold red")]


def _counts(status: LiveStatus) -> str:
    return (
        f"{status.waiting:,} chunks waiting, {status.due:,} of them due, {status.processing:,} at work;"
        f" {status.workers:,} workers"
    )


def _system(status: LiveStatus) -> str:
    waits = f"; the next one waits for {duration(status.oldest_due_seconds)}" if status.due else ""
    return _counts(status) + waits


def _alerts(status: LiveStatus, *, numbers: bool = True) -> list[Text]:
    colors = {"critical": "bold red", "warn": "yellow"}
    return [
        Text(printable(f"{alert.level}: {alert.message if numbers else alert.signal}"), style=colors[alert.level])
        for alert in status.alerts
    ]


def _stopped(status: LiveStatus) -> list[Text]:
    return [
        Text(
            printable(f"{one.mailbox} ({one.tenant}) {one.state.replace('_', ' ')}{_until(one.until)}"), style="yellow"
        )
        for one in status.stopped
    ]


def _until(instant: datetime | None) -> str:
    return f" until {instant.astimezone():%H:%M:%S}" if instant else ""


def _failures(status: LiveStatus) -> list[Text]:
    if not status.failures:
        return []
    told = ", ".join(f"{category} {attempts:,}" for category, attempts in status.failures.items())
    return [Text(f"failed attempts of the last hour: {told}", style="yellow")]


def _write(line: str) -> None:
    with suppress(OSError):  # the reader may have gone
        sys.stdout.write(line + "\n")
        sys.stdout.flush()
