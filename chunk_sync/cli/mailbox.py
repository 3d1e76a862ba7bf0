"""`mailbox add`, `mailbox every` and `mailbox list`."""

from __future__ import annotations

import getpass
from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

from chunk_sync.cli.session import Session, is_terminal, out, provider_failure, session
from chunk_sync.domain.instants import parse_interval
from chunk_sync.engine.credentials import reveal, seal
from chunk_sync.errors import ProviderError, UsageError
from chunk_sync.mail.address import MailboxAddress, check_address, parse_address
from chunk_sync.mail.connect import open_source
from chunk_sync.store.mailboxes import Mailbox, add_mailbox, get_mailbox, list_mailboxes, set_sync_every

app = typer.Typer(help="Connect mailboxes.", no_args_is_help=True)


@app.command("add")
def add(
    address: Annotated[
        str, typer.Argument(help="imaps://user@host[:port]/, imap://… (STARTTLS), maildir:PATH, mbox:PATH")
    ],
    name: Annotated[str | None, typer.Option(help="How to call it; the user or the folder's name by default.")] = None,
    folder: Annotated[list[str] | None, typer.Option(help="Only this folder (again for more).")] = None,
    tenant: Annotated[str, typer.Option(help="Whose mailbox it is.")] = "default",
    password_env: Annotated[
        str | None, typer.Option(help="Read the password from this variable, now and at each sync.")
    ] = None,
    password_file: Annotated[
        Path | None, typer.Option(help="Read the password from this file, now and at each sync.")
    ] = None,
    check: Annotated[bool, typer.Option(help="Connect once before it is stored.")] = True,
    every: Annotated[str, typer.Option(help="Sync it again so often: 15m, 2h, 1d; never: when asked.")] = "never",
) -> None:
    """Connect a mailbox. The password comes from a prompt, a variable or a file, never from the command line."""
    parsed = parse_address(address)
    check_address(parsed)
    interval = parse_interval(every)
    with session() as opened:
        credential = _credential(opened, parsed, password_env, password_file)
        folders = tuple(folder) if folder else None
        count = _try(opened, parsed, credential, folders) if check else None
        box = add_mailbox(
            opened.database,
            name=name or _name(parsed),
            address=str(parsed),
            provider="imap" if parsed.is_imap else parsed.scheme,
            credential=credential,
            folders=folders,
            tenant=tenant,
            sync_every=interval,
        )
    found = "" if count is None else f", {count} folders"
    out.print(f"added mailbox [bold]{box.name}[/] ({box.address}{found}); next: ./chunk-sync sync {box.name}")


@app.command("every")
def schedule(
    name: Annotated[str, typer.Argument(help="The mailbox's name.")],
    interval: Annotated[str, typer.Argument(help="How often: 15m, 2h, 1d; never: only when asked.")],
    tenant: Annotated[str, typer.Option(help="Whose mailbox it is.")] = "default",
) -> None:
    """Have a mailbox synced again by itself, so long after each request for it."""
    every = parse_interval(interval)
    with session() as opened:
        set_sync_every(opened.database, get_mailbox(opened.database, name, tenant), every)
    out.print(f"{name} is synced every {interval}" if every else f"{name} is synced when somebody asks for it")


@app.command("list")
def show(tenant: Annotated[str | None, typer.Option(help="Only this tenant's.")] = None) -> None:
    """List the mailboxes."""
    with session() as opened:
        boxes = list_mailboxes(opened.database, tenant)
    table = Table("tenant", "mailbox", "address", "folders", "every", "password")
    for box in boxes:
        every = str(box.sync_every or "never")
        table.add_row(box.tenant, box.name, box.address, ", ".join(box.folders or ("all",)), every, _where(box))
    out.print(table)


def _try(opened: Session, address: MailboxAddress, credential: str | None, folders: tuple[str, ...] | None) -> int:
    """Log in and list the folders; raises UsageError when that fails, or when a folder is not there."""
    settings = opened.settings
    try:
        with open_source(
            address,
            reveal(credential, settings),
            timeout=settings.source_timeout_seconds,
            max_message_bytes=settings.max_message_bytes,
        ) as source:
            paths = [found.path for found in source.folders()]
    except ProviderError as error:
        raise provider_failure(error, str(address)) from error
    if missing := set(folders or ()) - set(paths):
        message = f"no folder {', '.join(sorted(missing))}; there are: {', '.join(paths)}"
        raise UsageError(message)
    return len(folders or paths)


def _credential(opened: Session, address: MailboxAddress, variable: str | None, file: Path | None) -> str | None:
    if not address.is_imap:
        return None
    if variable and file:
        message = "give one of --password-env and --password-file"
        raise UsageError(message)
    if variable:
        return f"env:{variable}"
    if file:
        return f"file:{file.expanduser().absolute()}"
    if not is_terminal():
        message = "no terminal to ask for the password: give --password-env NAME or --password-file PATH"
        raise UsageError(message)
    return seal(getpass.getpass(f"password of {address.user} at {address.host}: "), opened.settings)


def _name(address: MailboxAddress) -> str:
    return address.user or "" if address.is_imap else Path(address.path or "").stem or "archive"


def _where(box: Mailbox) -> str:
    kind, _, value = (box.credential or "").partition(":")
    return {"env": f"variable {value}", "file": f"file {value}", "sealed": "sealed"}.get(kind, "none")
