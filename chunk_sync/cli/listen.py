"""`listen`: ask for syncs as mail arrives."""

from __future__ import annotations

from contextlib import suppress
from typing import Annotated

import typer

from chunk_sync.cli.session import out, session
from chunk_sync.engine.listen import Listening, listener_maker
from chunk_sync.errors import UsageError
from chunk_sync.local.signals import stop_signals
from chunk_sync.mail.address import parse_address
from chunk_sync.store.database import Database
from chunk_sync.store.mailboxes import Mailbox, get_mailbox, list_mailboxes

_TICK = 0.2


def listen(
    mailbox: Annotated[
        list[str] | None, typer.Argument(help="These mailboxes, by name; without one all IMAP mailboxes.")
    ] = None,
    tenant: Annotated[str, typer.Option(help="Whose mailboxes they are.")] = "default",
    every: Annotated[
        float, typer.Option(min=0.1, max=86_400, help="Ask for a mailbox's sync at most every so many seconds.")
    ] = 5.0,
    poll: Annotated[
        float, typer.Option(min=1, max=86_400, help="Ask a server that cannot tell by itself every so many seconds.")
    ] = 60.0,
    renew: Annotated[
        float, typer.Option(min=1, max=1_700, help="Try a silent connection after so many seconds.")
    ] = 540.0,
) -> None:
    """Ask for an incremental sync whenever something happens in a mailbox, until Ctrl-C; `up` does the work."""
    with stop_signals() as stop, session() as opened:
        boxes = _chosen(opened.database, mailbox or [], tenant)
        make = listener_maker(opened.settings, renew=renew, poll=poll)
        with Listening(opened.database, boxes, make, every=every, report=_say) as listening:
            while not stop.wait(_TICK) and listening.is_alive:
                pass
        _say("stopping" if stop else "no mailbox is left to listen to")
    if not stop:
        raise typer.Exit(1)


def _chosen(database: Database, names: list[str], tenant: str) -> list[Mailbox]:
    """Find the mailboxes; raises UsageError when one cannot be listened to."""
    if not names:
        boxes = [box for box in list_mailboxes(database, tenant) if _is_imap(box)]
        if not boxes:
            message = f"tenant {tenant!r} has no IMAP mailbox: add one with `./chunk-sync mailbox add`"
            raise UsageError(message)
        return boxes
    boxes = [get_mailbox(database, name, tenant) for name in dict.fromkeys(names)]
    archives = ", ".join(box.name for box in boxes if not _is_imap(box))
    if archives:
        message = f"archives tell nothing by themselves, only IMAP mailboxes do: leave out {archives}"
        raise UsageError(message)
    return boxes


def _is_imap(box: Mailbox) -> bool:
    return parse_address(box.address).is_imap


def _say(line: str) -> None:
    with suppress(OSError):  # the terminal may be what has gone
        out.print(line, markup=False, soft_wrap=True)
