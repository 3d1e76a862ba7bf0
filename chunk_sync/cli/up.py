"""`up`: set everything up, keep it running, show what it does."""

from __future__ import annotations

import time
from contextlib import suppress
from pathlib import Path
from typing import Annotated

import typer
from rich.live import Live
from rich.markup import escape

from chunk_sync.cli.progress import ProgressView
from chunk_sync.cli.readings import try_to_read
from chunk_sync.cli.session import err, is_terminal, out
from chunk_sync.demo.maildir import demo_maildir
from chunk_sync.errors import DatabaseUnavailable
from chunk_sync.local.services import Stack
from chunk_sync.local.signals import StopRequest, stop_signals
from chunk_sync.settings import Settings
from chunk_sync.store.alert_rules import list_routes
from chunk_sync.store.database import Database, check_server
from chunk_sync.store.mailboxes import add_mailbox, list_mailboxes, request_sync
from chunk_sync.store.migrations import migrate, prepare_dagster_schema
from chunk_sync.store.status import JobStatus, job_statuses, open_job_ids, unsettled

DEMO = "demo"
_TICK = 0.2
_SETTLE_SECONDS = 60.0
_LINE_EVERY = 2.0
_PATIENCE_SECONDS = 300.0
"""So long the database may be away: a restart, an upgrade of your own server, a recovery of the embedded one."""


def up(
    demo: Annotated[bool, typer.Option("--demo", help="Make a demo mailbox, connect it and sync it.")] = False,
    until_done: Annotated[
        bool, typer.Option("--until-done", help="Stop when all requested syncs have ended; 1 if one failed.")
    ] = False,
    port: Annotated[
        int | None, typer.Option(min=1, max=65535, help="The UI's port; 3000 or the next free one.")
    ] = None,
    demo_messages: Annotated[int, typer.Option(min=1, max=1_000_000, help="Size of the demo mailbox.")] = 5000,
) -> None:
    """Start everything: PostgreSQL (unless CHUNK_SYNC_DSN names yours), Dagster's UI, daemon and code server."""
    started = time.monotonic()
    settings = Settings.read()
    with stop_signals() as stop, Stack(settings, port=port) as stack:
        check_server(stack.dsn)
        with Database(stack.dsn, application="chunk_sync up") as database:
            migrate(database)
            if not stack.database.embedded:
                prepare_dagster_schema(database)
            watch = Watch(database, stop, stack)
            stack.start_services(deadman=bool(settings.deadman_url or list_routes(database)))
            if demo:
                _connect_demo(database, settings.home / "demo", demo_messages)
            if not watch.until_ready():
                raise typer.Exit(stop.exit_code)
            out.print(f"[bold]chunk_sync is up[/] after {time.monotonic() - started:.1f} s: [bold]{stack.url}[/]")
            if not until_done:
                out.print("stop it with Ctrl-C; connect a mailbox with ./chunk-sync mailbox add imaps://user@host/")
            code = watch.run(until_done=until_done)
        with suppress(OSError):  # the terminal may be what has gone
            out.print(f"stopping after {time.monotonic() - started:.1f} s" if until_done else "stopping")
    raise typer.Exit(code)


class Watch:
    """Keeps the stack alive and shows progress, until it is done or a signal comes."""

    def __init__(self, database: Database, stop: StopRequest, stack: Stack) -> None:
        self._database = database
        self._stop = stop
        self._stack = stack
        self._view = ProgressView()
        self._seen: set[int] = set()
        self._said = ""
        self._said_at = 0.0
        self._lost_at: float | None = None

    def until_ready(self) -> bool:
        """Wait for the UI; False when a signal came first."""
        while not self._stop:
            self._stack.check()
            if self._stack.ready():
                return True
            self._stop.wait(_TICK)
        return False

    def run(self, *, until_done: bool) -> int:
        """Show progress; the exit code: 0, or 1 when a watched job failed (until_done), or the signal's."""
        jobs: list[JobStatus] = []
        with Live(console=out, auto_refresh=False) as live:
            while not self._stop:
                self._stack.check()
                seen = self._look(live)
                jobs = jobs if seen is None else seen
                if until_done and seen is not None and not any(job.open for job in seen):
                    break
                self._stop.wait(_TICK)
        if until_done and not self._stop:
            self._settle()
            return 0 if all(job.status == "completed" for job in jobs) else 1
        return self._stop.exit_code if until_done else 0

    def _look(self, live: Live) -> list[JobStatus] | None:
        """Show the jobs; None while the database does not answer: it may have died since we looked after it.

        Raises DatabaseUnavailable when it stays away.
        """
        reading = try_to_read(lambda: self._show(live))
        if reading.value is not None:
            self._lost_at = None
            return reading.value
        if self._lost_at is None:
            self._lost_at = time.monotonic()
            err.print(f"no answer from the database, trying again: {escape(reading.error)}")
        if time.monotonic() - self._lost_at > _PATIENCE_SECONDS:
            raise DatabaseUnavailable(reading.error)
        return None

    def _show(self, live: Live) -> list[JobStatus]:
        self._seen.update(open_job_ids(self._database))
        jobs = job_statuses(self._database, job_ids=sorted(self._seen)) if self._seen else []
        if is_terminal():
            live.update(self._view.render(self._database, jobs), refresh=True)
        elif jobs:
            self._say(self._view.line(jobs), final=not any(job.open for job in jobs))
        return jobs

    def _say(self, line: str, *, final: bool) -> None:
        if line != self._said and (final or time.monotonic() - self._said_at > _LINE_EVERY):
            out.print(line)
            self._said, self._said_at = line, time.monotonic()

    def _settle(self) -> None:
        """Let the runs tell Dagster what they landed."""
        deadline = time.monotonic() + _SETTLE_SECONDS
        while time.monotonic() < deadline and not self._stop:
            if try_to_read(lambda: unsettled(self._database)).value == 0:
                break
            self._stack.check()
            self._stop.wait(_TICK)


def _connect_demo(database: Database, folder: Path, messages: int) -> None:
    path = folder / "Maildir"
    folder.mkdir(parents=True, exist_ok=True)
    summary = demo_maildir(path, messages)
    out.print(
        f"demo mailbox: {summary.messages:,} messages, {summary.bytes / 1e6:.0f} MB in {len(summary.folders)} folders"
    )
    if not any(box.name == DEMO and box.tenant == "default" for box in list_mailboxes(database)):
        add_mailbox(database, name=DEMO, address=f"maildir:{path}", provider="maildir", credential=None)
    request_sync(database, DEMO, requested_by="up --demo")
