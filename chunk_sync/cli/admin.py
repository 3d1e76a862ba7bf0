"""`psql`, `dsn`, `env`, `migrate` and `doctor`."""

from __future__ import annotations

import shlex
import subprocess
import sys
from typing import Annotated, LiteralString, cast
from urllib.parse import unquote, urlsplit

import typer
from rich.table import Table

from chunk_sync.cli.checks import run_checks
from chunk_sync.cli.session import out, session
from chunk_sync.errors import UsageError
from chunk_sync.local.database import dagster_environment, database
from chunk_sync.local.dsn import libpq_url, without_password
from chunk_sync.settings import Settings, environment
from chunk_sync.store.database import Database, check_server
from chunk_sync.store.migrations import migrate as migrate_schema
from chunk_sync.store.migrations import prepare_dagster_schema


def psql(
    command: Annotated[
        list[str] | None, typer.Option("-c", "--command", help="Run this SQL and leave (again for more).")
    ] = None,
) -> None:
    """Open psql on the database."""
    with session() as opened:
        if opened.located.psql is None:
            _without_psql(opened.database, command or [])
            return
        # The password goes by the environment: the process list shows arguments.
        url = libpq_url(opened.located.dsn)
        words = [str(opened.located.psql), "-d", without_password(url)]
        for sql in command or []:
            words += ["-c", sql]
        where = {"PGPASSWORD": _password(url), "PGOPTIONS": "-c search_path=chunk_sync,public"}
        done = subprocess.run(words, env=environment() | where, check=False)  # noqa: S603 - our own words
    raise typer.Exit(done.returncode)


def dsn() -> None:
    """Print the database's URL (with its password: mind who reads it)."""
    with session() as opened:
        sys.stdout.write(libpq_url(opened.located.dsn) + "\n")


def env() -> None:
    """Print the environment for Dagster's own commands: eval "$(./chunk-sync env)"."""
    with session() as opened:
        for name, value in dagster_environment(opened.settings, opened.located).items():
            sys.stdout.write(f"export {name}={shlex.quote(value)}\n")


def migrate() -> None:
    """Bring the database to this version's schema."""
    settings = Settings.read()
    with database(settings) as place:
        check_server(place.dsn)
        with Database(place.dsn, application="chunk_sync migrate") as opened:
            report = migrate_schema(opened)
            if not place.embedded:
                prepare_dagster_schema(opened)
    what = f"applied {len(report.applied)} migrations, put in {len(report.objects)} functions and views"
    out.print(f"schema {report.version}: " + (what if report.applied or report.objects else "nothing to do"))


def doctor() -> None:
    """Check the installation: one line a check, exit code 1 when one fails."""
    results = run_checks()
    table = Table("check", "result", "", box=None)
    for result in results:
        table.add_row(result.name, "[green]ok[/]" if result.ok else "[red]wrong[/]", result.detail)
    out.print(table)
    if not all(result.ok for result in results):
        raise typer.Exit(1)


def _without_psql(database: Database, commands: list[str]) -> None:
    if not commands:
        message = "psql is not installed: give -c SQL, or install PostgreSQL's client"
        raise UsageError(message)
    for command in commands:
        rows = database.execute(cast("LiteralString", command))
        table = Table(*(rows[0] if rows else ("no rows",)))
        for row in rows:
            table.add_row(*("" if value is None else str(value) for value in row.values()))
        out.print(table)


def _password(url: str) -> str:
    return unquote(urlsplit(url).password or "")
