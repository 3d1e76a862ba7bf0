"""What the commands share: settings, the database, consoles, and how an error is said."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from rich.console import Console

from chunk_sync.engine.connect import SourceOpener, source_opener
from chunk_sync.engine.credentials import NO_PASSWORD
from chunk_sync.errors import ErrorCategory, ProviderError, UsageError
from chunk_sync.local.database import Database as Located
from chunk_sync.local.database import database as located
from chunk_sync.settings import Settings
from chunk_sync.store.database import Database, check_server
from chunk_sync.store.migrations import check_schema, migrate

_LOG_WIDTH = 160
"""Columns of a table that goes into a file or a pipe."""

out = Console(highlight=False, width=None if sys.stdout.isatty() else _LOG_WIDTH)
err = Console(stderr=True, highlight=False, soft_wrap=True)

_HINTS = {
    ErrorCategory.AUTH: "check the user name and the password (many providers want an app password)",
    ErrorCategory.NETWORK: "check the host's name, the port, and that the server runs",
    ErrorCategory.TIMEOUT: "the server does not answer: check the port, and TLS (imaps://) against STARTTLS (imap://)",
    ErrorCategory.RATE_LIMIT: "the provider throttles this account: try again later",
    ErrorCategory.PERMISSION: "check that IMAP is allowed for this account, or the rights on the path",
    ErrorCategory.NOT_FOUND: "check the path",
}


@dataclass(frozen=True, slots=True)
class Session:
    """An installation in use: settings, where the database is, a pool to it, the way to mailboxes."""

    settings: Settings
    located: Located
    database: Database
    open_mailbox: SourceOpener


@contextmanager
def session() -> Iterator[Session]:
    """Open the installation for one command.

    The embedded database is brought to this code's schema; a database of yours must have it (`migrate` does that).
    """
    settings = Settings.read()
    with located(settings) as place:
        check_server(place.dsn)
        with Database(place.dsn, application="chunk_sync cli") as database:
            if place.embedded:
                migrate(database)
            else:
                check_schema(database)
            yield Session(settings, place, database, source_opener(settings))


def provider_failure(error: ProviderError, where: str = "") -> UsageError:
    """Say a mail server's refusal to a person: one line, and what to do."""
    hint = None if error.code == NO_PASSWORD else _HINTS.get(error.category)
    return UsageError("; ".join(filter(None, (f"{where}: {error}" if where else str(error), hint))))


def printable(text: str) -> str:
    """Replace what would move a terminal's cursor or change its colours: names and errors are strangers' text."""
    return "".join(character if character.isprintable() else "\ufffd" for character in text)


def is_terminal() -> bool:
    """Whether a person is watching, who can be asked and shown things that move."""
    return sys.stdin.isatty() and sys.stdout.isatty()
