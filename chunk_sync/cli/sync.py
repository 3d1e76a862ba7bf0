"""`sync`, `status` and `verify`."""

from __future__ import annotations

import time
from enum import StrEnum
from functools import partial
from typing import Annotated

import typer
from rich.live import Live
from rich.table import Table

from chunk_sync.cli.progress import ProgressView
from chunk_sync.cli.session import Session, is_terminal, out, session
from chunk_sync.cli.watch import show_system, watch_system
from chunk_sync.domain.instants import parse_instant
from chunk_sync.engine.verify import NAMES_SHOWN, FolderVerdict, verify_mailbox
from chunk_sync.local.signals import stop_signals
from chunk_sync.store.live import live_status
from chunk_sync.store.mailboxes import get_mailbox, request_sync
from chunk_sync.store.status import JobStatus, job_statuses

_EVERY = 0.5
_ENDED_SHOWN = 50


class SyncType(StrEnum):
    """What to sync."""

    AUTO = "auto"
    INITIAL = "initial"
    INCREMENTAL = "incremental"
    MANUAL = "manual"


_Tenant = Annotated[str, typer.Option(help="Whose mailbox it is.")]


def sync(
    mailbox: Annotated[str, typer.Argument(help="The mailbox's name.")],
    since: Annotated[str | None, typer.Option(help="Only mail received from this day or instant on.")] = None,
    until: Annotated[str | None, typer.Option(help="Only mail received up to this day (included) or instant.")] = None,
    priority: Annotated[
        int | None, typer.Option(min=1, max=30, help="30 urgent … 1 last; by the type if not given.")
    ] = None,
    type_: Annotated[
        SyncType, typer.Option("--type", help="auto: initial the first time, then incremental.")
    ] = SyncType.AUTO,
    tenant: _Tenant = "default",
    watch: Annotated[bool, typer.Option("--watch", help="Show the progress until it is done.")] = False,
) -> None:
    """Ask for a sync of a mailbox; `./chunk-sync up` does the work."""
    with session() as opened:
        request = request_sync(
            opened.database,
            mailbox,
            tenant=tenant,
            sync_type=None if type_ is SyncType.AUTO else type_.value,
            sync_from=parse_instant(since),
            sync_to=parse_instant(until, end=True),
            priority=priority,
        )
        out.print(
            f"requested sync job {request.job_id} of {mailbox} ({request.sync_type}, priority {request.priority})"
        )
        if watch and not _watch(opened, [request.job_id]):
            raise typer.Exit(1)


def status(
    mailbox: Annotated[str | None, typer.Argument(help="Only this mailbox.")] = None,
    tenant: _Tenant = "default",
    watch: Annotated[
        bool, typer.Option("--watch", help="Keep showing it until Ctrl-C; a mailbox's, until its jobs are done.")
    ] = False,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print JSON, for scripts; with --watch a line a look.")
    ] = False,
) -> None:
    """Show what is going on: sync jobs, what waits, who works, what stands still, fails or is alarming."""
    with session() as opened:
        box = get_mailbox(opened.database, mailbox, tenant) if mailbox else None
        look = partial(live_status, opened.database, mailbox_id=box.id if box else None)
        if not watch:
            show_system(partial(look, ended=_ENDED_SHOWN), as_json=as_json)
            return
        with stop_signals() as stop:
            watch_system(look, stop, as_json=as_json, until_done=box is not None)


def verify(mailbox: Annotated[str, typer.Argument(help="The mailbox's name.")], tenant: _Tenant = "default") -> None:
    """Compare the source with what landed, message by message; exit code 1 when anything differs."""
    with session() as opened:
        box = get_mailbox(opened.database, mailbox, tenant)
        table = Table("folder", "in source", "landed", "missing", "doubled", "different", "gone from source")
        verdicts: list[FolderVerdict] = []
        for verdict in verify_mailbox(opened.database, opened.settings, opened.open_mailbox, box):
            verdicts.append(verdict)
            table.add_row(verdict.path, *(f"{n:,}" for n in _counts(verdict)))
    out.print(table)
    for verdict in verdicts:
        for what in ("missing", "doubled", "different"):
            if names := getattr(verdict, what):
                more = f" and {len(names) - NAMES_SHOWN} more" if len(names) > NAMES_SHOWN else ""
                out.print(f"{what} in {verdict.path}: {', '.join(names[:NAMES_SHOWN])}{more}")
    if not all(verdict.ok for verdict in verdicts):
        out.print("[bold red]different[/]")
        raise typer.Exit(1)
    out.print(f"[bold green]equal[/]: {sum(v.in_source for v in verdicts):,} messages, hash by hash")


def _counts(verdict: FolderVerdict) -> tuple[int, ...]:
    return (
        verdict.in_source,
        verdict.landed,
        len(verdict.missing),
        len(verdict.doubled),
        len(verdict.different),
        verdict.gone_from_source,
    )


def _watch(opened: Session, job_ids: list[int]) -> bool:
    """Show jobs until they have ended; True when all completed."""
    view = ProgressView()
    jobs: list[JobStatus] = []
    with Live(console=out, auto_refresh=False, transient=not is_terminal()) as live:
        while True:
            jobs = job_statuses(opened.database, job_ids=job_ids)
            live.update(view.render(opened.database, jobs), refresh=is_terminal())
            if not any(job.open for job in jobs):
                break
            time.sleep(_EVERY)
    if not is_terminal():
        out.print(view.render(opened.database, jobs))
    return all(job.status == "completed" for job in jobs)
