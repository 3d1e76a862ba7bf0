"""What people decide about syncs: `cancel`, `pause`, `resume`, `retry`, `resync`, `recover`, `priority`, `archive`."""

from __future__ import annotations

import getpass
from typing import Annotated

import typer

from chunk_sync.cli.session import out, session
from chunk_sync.errors import UsageError
from chunk_sync.store import control
from chunk_sync.store.control import Decision, Target
from chunk_sync.store.database import Database

_Mailbox = Annotated[str | None, typer.Argument(help="The mailbox's name.")]
_Job = Annotated[int | None, typer.Option("--job", help="Only this sync job, by its number.")]
_Tenant = Annotated[str, typer.Option(help="Whose mailbox it is.")]
_Whole = Annotated[bool, typer.Option("--all", help="All mailboxes of the tenant.")]
_JobNumber = Annotated[int, typer.Argument(help="The sync job's number, as `status` has it.")]
_Reason = Annotated[str, typer.Option(help="Why; it is kept in the audit log.")]


def cancel(
    mailbox: _Mailbox = None,
    job: _Job = None,
    whole: _Whole = False,
    tenant: _Tenant = "default",
    reason: _Reason = "by hand",
) -> None:
    """Cancel sync jobs: what has landed stays, nothing more is fetched."""
    with session() as opened:
        target = _target(opened.database, mailbox, job, tenant, whole=whole)
        count = control.cancel(opened.database, target, _decision(reason))
        out.print(f"cancelled {target.name}: {count:,} chunks will not be synced")


def pause(
    mailbox: _Mailbox = None,
    job: _Job = None,
    whole: _Whole = False,
    tenant: _Tenant = "default",
    reason: _Reason = "by hand",
) -> None:
    """Pause syncing until `resume`: running chunks go back without using an attempt."""
    with session() as opened:
        target = _target(opened.database, mailbox, job, tenant, whole=whole)
        count = control.pause(opened.database, target, _decision(reason))
        out.print(f"paused {target.name}: {count:,} running chunks were given back")


def resume(
    mailbox: _Mailbox = None,
    job: _Job = None,
    whole: _Whole = False,
    tenant: _Tenant = "default",
    reason: _Reason = "by hand",
) -> None:
    """Go on with what was paused."""
    with session() as opened:
        target = _target(opened.database, mailbox, job, tenant, whole=whole)
        count = control.resume(opened.database, target, _decision(reason))
        out.print(f"resumed {target.name}: {count:,} mailboxes go on")


def retry(job: _JobNumber, reason: _Reason = "by hand") -> None:
    """Run the failed chunks of a sync job again, with all their attempts."""
    with session() as opened:
        count = control.retry(opened.database, job, _decision(reason))
        out.print(f"sync job {job}: {count:,} failed chunks run again")


def resync(
    job: _JobNumber,
    chunk: Annotated[list[int] | None, typer.Option(help="Only this chunk, by its index; give it again.")] = None,
    reason: _Reason = "by hand",
) -> None:
    """Run chunks of a sync job again that have ended; what has not changed at the source changes nothing here."""
    with session() as opened:
        count = control.resync(opened.database, job, _decision(reason), chunk or ())
        out.print(f"sync job {job}: {count:,} chunks run again")


def recover(
    silent_minutes: Annotated[
        int | None, typer.Option(min=1, help="Also from workers silent for so long, whatever their lease says.")
    ] = None,
    reason: _Reason = "by hand",
) -> None:
    """Take chunks back from workers whose lease has run out, without waiting for the sensor."""
    with session() as opened:
        found = control.recover(opened.database, _decision(reason), silent_minutes=silent_minutes)
        dead = sum(chunk.status == "failed" for chunk in found)
        out.print(f"{len(found):,} chunks taken back, {dead:,} of them are dead letters now")


def priority(
    job: _JobNumber,
    level: Annotated[str, typer.Argument(help="1 (last) to 30 (first), or urgent, initial, normal, low, cleanup.")],
    reason: _Reason = "by hand",
) -> None:
    """Change how urgent an open sync job is, also for its chunks that wait already."""
    with session() as opened:
        number = _number(level)
        count = control.prioritize(opened.database, job, number, _decision(reason))
        out.print(f"sync job {job} has priority {number}: {count:,} chunks wait")


def archive(job: _JobNumber, reason: _Reason = "by hand") -> None:
    """Archive a sync job that has ended: its status and why its chunks failed are kept."""
    with session() as opened:
        control.archive(opened.database, job, _decision(reason))
        out.print(f"sync job {job} is archived")


def _number(level: str) -> int:
    if level in control.PRIORITIES:
        return control.PRIORITIES[level]
    if not level.isdecimal():
        names = ", ".join(control.PRIORITIES)
        message = f"{level!r} is no priority: give a number from {control.LAST} to {control.FIRST}, or one of {names}"
        raise UsageError(message)
    return int(level)


def _target(database: Database, mailbox: str | None, job: int | None, tenant: str, *, whole: bool) -> Target:
    if sum((mailbox is not None, job is not None, whole)) != 1:
        message = "name one thing: a MAILBOX, or --job NUMBER, or --all for the whole tenant"
        raise UsageError(message)
    return control.find_target(database, job_id=job, mailbox=mailbox, tenant=tenant)


def _decision(reason: str) -> Decision:
    return Decision(reason=reason, actor=f"{getpass.getuser()} (cli)")
