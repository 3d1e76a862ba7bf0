"""`cancel`, `pause` and `resume`: of a sync job, a mailbox or a whole tenant."""

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


def _target(database: Database, mailbox: str | None, job: int | None, tenant: str, *, whole: bool) -> Target:
    if sum((mailbox is not None, job is not None, whole)) != 1:
        message = "name one thing: a MAILBOX, or --job NUMBER, or --all for the whole tenant"
        raise UsageError(message)
    return control.find_target(database, job_id=job, mailbox=mailbox, tenant=tenant)


def _decision(reason: str) -> Decision:
    return Decision(reason=reason, actor=f"{getpass.getuser()} (cli)")
