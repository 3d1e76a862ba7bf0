"""`./chunk-sync`: the commands' names, words and help."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from chunk_sync import __version__
from chunk_sync.cli import (
    admin,
    alert,
    control,
    deadman,
    listen,
    mailbox,
    metrics,
    reading,
    search,
    sla,
    sync,
    testing,
    up,
)
from chunk_sync.cli.session import err, provider_failure
from chunk_sync.errors import ChunkSyncError, ProviderError, UsageError
from chunk_sync.local.signals import exit_on_signals

app = typer.Typer(
    name="chunk-sync",
    help="Whole mailboxes into PostgreSQL, in chunks that resume.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
app.add_typer(mailbox.app, name="mailbox")
app.add_typer(reading.attachments, name="attachment")
app.add_typer(reading.messages, name="message")
app.add_typer(search.app, name="search")
app.add_typer(alert.app, name="alert")
app.add_typer(sla.app, name="sla")
app.command("up")(up.up)
app.command("sync")(sync.sync)
app.command("listen")(listen.listen)
app.command("status")(sync.status)
app.command("metrics")(metrics.metrics)
app.command("deadman")(deadman.deadman)
app.command("verify")(sync.verify)
app.command("problems")(reading.problems)
app.command("cancel")(control.cancel)
app.command("pause")(control.pause)
app.command("resume")(control.resume)
app.command("retry")(control.retry)
app.command("resync")(control.resync)
app.command("recover")(control.recover)
app.command("priority")(control.priority)
app.command("archive")(control.archive)
app.command("psql")(admin.psql)
app.command("dsn")(admin.dsn)
app.command("env")(admin.env)
app.command("migrate")(admin.migrate)
app.command("doctor")(admin.doctor)
app.command("test", context_settings={"allow_extra_args": True, "ignore_unknown_options": True})(testing.test)


@app.callback(invoke_without_command=True)
def _root(version: Annotated[bool, typer.Option("--version", help="Print the version.")] = False) -> None:
    if version:
        sys.stdout.write(f"chunk-sync {__version__}\n")
        raise typer.Exit


def main() -> None:
    """Run a command; what we raise on purpose becomes one line on stderr, exit code 2 for bad input, else 1."""
    try:
        with exit_on_signals():
            app()
    except ProviderError as error:
        _say(provider_failure(error))
    except ChunkSyncError as error:
        _say(error)


def _say(error: ChunkSyncError) -> None:
    err.print(f"[bold red]error:[/] {_plain(str(error))}")
    sys.exit(2 if isinstance(error, UsageError) else 1)


def _plain(text: str) -> str:
    return text.replace("[", "\\[")


if __name__ == "__main__":
    main()
