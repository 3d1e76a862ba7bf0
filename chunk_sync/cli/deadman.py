"""`deadman`: alarm when the whole system is silent. It needs neither Dagster nor, to speak, the database."""

from __future__ import annotations

from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import Annotated

import typer

from chunk_sync.alerts.deadman import Found, Verdict, Watch, look_at
from chunk_sync.alerts.message import Message, spell
from chunk_sync.alerts.send import send
from chunk_sync.cli.session import out
from chunk_sync.domain.instants import parse_interval
from chunk_sync.engine.credentials import reveal
from chunk_sync.errors import DatabaseUnavailable, ProviderError, UsageError
from chunk_sync.local import pg_cluster
from chunk_sync.local.dsn import app_url, local_url
from chunk_sync.local.postgres import APP_DATABASE
from chunk_sync.local.signals import StopRequest, stop_signals
from chunk_sync.local.state import prepare_home
from chunk_sync.settings import Settings

_SHORTEST = timedelta(minutes=1)  # alerts are looked at every 30 s
_LONGEST_PAUSE = 30.0
_LOOKS = 10  # within the time of `--after`
_REFERENCES = ("env:", "file:", "sealed:")


def deadman(
    after: Annotated[str, typer.Option(help="Alarm after so long without a sign of life: at least 1m.")] = "15m",
    once: Annotated[
        bool, typer.Option("--once", help="Look once, for cron; exit code 1 when there is no sign of life.")
    ] = False,
) -> None:
    """Alarm when nobody looks at alerts any more, or the database is gone; until Ctrl-C."""
    settings = Settings.read()
    span = parse_interval(after)
    if span is None or span < _SHORTEST:
        message = f"--after {after}: alerts are looked at every 30 s, give 1m or more"
        raise UsageError(message)
    watch = _watch(settings, span)
    if once:
        verdict = watch.check(datetime.now(UTC))
        _say(_line(verdict, settings))
        raise typer.Exit(1 if verdict.dead or verdict.found.trouble else 0)
    with stop_signals() as stop:
        _keep_watching(watch, stop, settings, min(_LONGEST_PAUSE, span.total_seconds() / _LOOKS))
    _say("stopping")


def _watch(settings: Settings, after: timedelta) -> Watch:
    if settings.dsn:
        app_url(settings.dsn)  # raises UsageError now rather than in a thread
    home = prepare_home(settings.home)

    def look() -> Found:
        return look_at(lambda: _dsn(settings), lambda reference: reveal(reference, settings), after)

    return Watch(look, lambda message: _tell(message, settings), after=after, memory=home / "deadman.json")


def _keep_watching(watch: Watch, stop: StopRequest, settings: Settings, pause: float) -> None:
    said = ""
    while not stop:
        line = _line(watch.check(datetime.now(UTC)), settings, short=True)
        if line != said:
            _say(line)
            said = line
        stop.wait(pause)


def _dsn(settings: Settings) -> str:
    """Name the database without starting it: a server that is not there is what this is about."""
    if settings.dsn:
        return app_url(settings.dsn)
    base = settings.home / "postgres"
    try:
        port, password = int((base / "port").read_text()), (base / "password").read_text()
    except (OSError, ValueError):
        message = f"there is none in {base}, and CHUNK_SYNC_DSN names no other"
        raise DatabaseUnavailable(message) from None
    return app_url(local_url(pg_cluster.OWNER, password, port, APP_DATABASE))


def _tell(message: Message, settings: Settings) -> str | None:
    url = settings.deadman_url
    if url is None:
        return None
    try:
        return send((reveal(url, settings) or "") if url.startswith(_REFERENCES) else url, message)
    except ProviderError as error:
        return str(error)


def _line(verdict: Verdict, settings: Settings, *, short: bool = False) -> str:
    found = verdict.found
    quiet = spell(timedelta(seconds=found.age)) if found.age is not None and not (short and not verdict.dead) else ""
    line = "no sign of life" if verdict.dead else "alive"
    if found.trouble:
        line += f", and the database does not answer: {found.trouble}"
    elif quiet and not short:
        line += f", the last sign was {quiet} ago"
    if verdict.said is not None and settings.deadman_url is None:
        line += "; CHUNK_SYNC_DEADMAN_URL is not set: only the routes hear of it"
    elif verdict.said is not None:
        line += f"; not told: {verdict.error}" if verdict.error else "; told"
    for route, error in found.outcome.errors.items() if found.outcome else ():
        line += f"; route {route}: {error}"
    return line


def _say(line: str) -> None:
    with suppress(OSError):  # the terminal may be what has gone
        out.print(line, markup=False, soft_wrap=True)
