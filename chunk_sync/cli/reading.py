"""`attachment`, `message` and `problems`: what landed, and what of it could not be read.

Whatever a sender wrote is shown without control characters: a terminal would obey them.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.table import Table
from rich.text import Text

from chunk_sync.cli.session import out, session
from chunk_sync.engine.attachments import attachment_content, file_name, raw_message
from chunk_sync.errors import UsageError
from chunk_sync.store.mailboxes import get_mailbox
from chunk_sync.store.reading import (
    PROBLEM_KINDS,
    ReadableMessage,
    mail_problems,
    message_attachments,
    problem_counts,
    readable_message,
)

attachments = typer.Typer(help="Read attachments.", no_args_is_help=True)
messages = typer.Typer(help="Read messages.", no_args_is_help=True)

_MessageId = Annotated[int, typer.Argument(help="The message's number, `id` in the view emails.")]


@attachments.command("list")
def list_attachments(message_id: _MessageId) -> None:
    """List a message's attachments."""
    with session() as opened:
        found = message_attachments(opened.database, message_id)
    table = Table("part", "name", "type", "bytes", "", "sha256")
    for one in found:
        where = "inline" if one.is_inline else "attached"
        name, kind = shown(one.filename or "-"), shown(one.content_type)
        table.add_row(one.part, name, kind, f"{one.size:,}", where, one.sha256.hex()[:16])
    out.print(table if found else f"message {message_id} has no attachments")


@attachments.command("save")
def save_attachment(
    message_id: _MessageId,
    part: Annotated[str, typer.Argument(help="Which one, by its part in the list.")],
    output: Annotated[
        Path | None, typer.Option("-o", "--output", help="The file; by default its own name, in this folder.")
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Overwrite a file that is there.")] = False,
) -> None:
    """Save an attachment, checked against its hash."""
    with session() as opened:
        found, content = attachment_content(opened.database, message_id, part)
    path = output or Path(file_name(found))
    try:
        with path.open("wb" if force else "xb") as file:
            file.write(content)
    except FileExistsError as error:
        message = f"{path} is there already: name another file with -o, or say --force"
        raise UsageError(message) from error
    except OSError as error:
        message = f"{path} cannot be written: {error.strerror}"
        raise UsageError(message) from error
    out.print(Text(f"saved {path} ({len(content):,} bytes, {found.content_type})"))


@messages.command("show")
def show_message(
    message_id: _MessageId,
    raw: Annotated[bool, typer.Option("--raw", help="Its exact bytes instead, as they came.")] = False,
) -> None:
    """Show a message's text, or its exact bytes."""
    with session() as opened:
        if raw:
            content = raw_message(opened.database, message_id)
            sys.stdout.buffer.write(content)
            sys.stdout.buffer.flush()
            return
        message = readable_message(opened.database, message_id)
        count = len(message_attachments(opened.database, message_id))
    for name, value in _fields(message, count):
        out.print(Text(f"{name}: ", style="bold") + shown(value), soft_wrap=True)
    out.print()
    nothing = "(no text, only HTML)" if message.has_html else "(no text)"
    out.print(shown(message.body_text or nothing, lines=True), soft_wrap=True)


def problems(
    mailbox: Annotated[str | None, typer.Argument(help="Only this mailbox.")] = None,
    tenant: Annotated[str, typer.Option(help="Whose mailbox it is.")] = "default",
    limit: Annotated[int, typer.Option(min=1, max=10_000, help="How many to list, the newest first.")] = 50,
) -> None:
    """List what could not be read or stored."""
    with session() as opened:
        box = get_mailbox(opened.database, mailbox, tenant).id if mailbox else None
        counts = problem_counts(opened.database, box)
        found = mail_problems(opened.database, mailbox_id=box, limit=limit)
    if not found:
        out.print("everything that landed could be read, and nothing is in quarantine")
        return
    by_kind = {kind: sum(row["messages"] for row in counts if row["kind"] == kind) for kind in PROBLEM_KINDS}
    table = Table("message", "mailbox", "folder", "UID", "kind", "reasons", "bytes", "received")
    for one in found:
        table.add_row(
            "-" if one.message_id is None else str(one.message_id),
            shown(one.mailbox),
            shown(one.folder),
            str(one.uid),
            one.kind,
            shown(", ".join(one.reasons)),
            f"{one.size:,}",
            moment(one.received_at),
        )
    out.print(table)
    total = sum(by_kind.values())
    more = f" ({len(found):,} of {total:,} are shown)" if total > len(found) else ""
    out.print(", ".join(f"{count:,} {kind}" for kind, count in by_kind.items()) + more)


def shown(text: str, *, lines: bool = False) -> Text:
    """Make what somebody wrote harmless for a terminal; `lines`: it may have several."""
    return Text("".join(c if c.isprintable() or (lines and c in "\n\t") else "\ufffd" for c in text))


def moment(when: datetime | None) -> str:
    """Show an instant in the local zone."""
    return f"{when.astimezone():%Y-%m-%d %H:%M}" if when else "-"


def _fields(message: ReadableMessage, attachment_count: int) -> Iterable[tuple[str, str]]:
    sender = {"name": message.from_name, "address": message.from_address}
    yield "mailbox", f"{message.mailbox}: {', '.join(message.folders) or 'in no folder any more'}"
    yield "received", moment(message.received_at)
    yield "from", _people([sender])
    yield "to", _people(message.to_addresses)
    if message.cc_addresses:
        yield "cc", _people(message.cc_addresses)
    yield "subject", message.subject
    if message.flags:
        yield "flags", " ".join(message.flags)
    if attachment_count:
        yield "attachments", str(attachment_count)


def _people(people: Iterable[dict[str, Any]]) -> str:
    return ", ".join(filter(None, (person_shown(p.get("name"), p.get("address")) for p in people)))


def person_shown(name: str | None, address: str | None) -> str:
    """Write a person as mail does."""
    return f"{name} <{address}>" if name and address else name or address or ""
