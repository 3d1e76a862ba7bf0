"""`search on`, `search off` and `search find`."""

from __future__ import annotations

from typing import Annotated

import typer
from rich.table import Table

from chunk_sync.cli.reading import moment, person_shown, shown
from chunk_sync.cli.session import is_terminal, out, session
from chunk_sync.store.mailboxes import get_mailbox
from chunk_sync.store.search import disable_search, enable_search, find_messages, searchable_messages

app = typer.Typer(help="Find messages by their words; off until you turn it on.", no_args_is_help=True)


@app.command("on")
def on() -> None:
    """Make messages findable: those that are there now, and from now on all that land."""
    with session() as opened:
        for done in enable_search(opened.database):
            if is_terminal():
                out.print(f"{done:,} messages", end="\r")
        count = searchable_messages(opened.database)
    out.print(f"search is on: {count:,} messages can be found with ./chunk-sync search find WORDS")


@app.command("off")
def off() -> None:
    """Remove all that search needed."""
    with session() as opened:
        was_on = disable_search(opened.database)
    out.print("search is off" if was_on else "search was off already")


@app.command("find")
def find(
    query: Annotated[str, typer.Argument(help='Words, all of them: budget "next year" -draft, or.')],
    mailbox: Annotated[str | None, typer.Option(help="Only in this mailbox.")] = None,
    tenant: Annotated[str, typer.Option(help="Whose mail it is.")] = "default",
    limit: Annotated[int, typer.Option(min=1, max=10_000, help="How many at most, the best first.")] = 50,
) -> None:
    """Find messages by the words of subject, sender and text."""
    with session() as opened:
        if mailbox:
            get_mailbox(opened.database, mailbox, tenant)
        found = find_messages(opened.database, query, mailbox=mailbox, tenant=tenant, limit=limit)
    table = Table("message", "received", "mailbox", "from", "subject", "beginning")
    for one in found:
        sender = shown(person_shown(one.from_name, one.from_address))
        words = (shown(one.mailbox), sender, shown(one.subject), shown(one.snippet[:80]))
        table.add_row(str(one.message_id), moment(one.received_at), *words)
    out.print(table if found else "nothing was found")
