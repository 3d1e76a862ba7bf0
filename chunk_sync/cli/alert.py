"""`alert …`: what is alarming, who looks after it, when to be silent, and where messages go."""

from __future__ import annotations

import getpass
from datetime import UTC, datetime, timedelta
from typing import Annotated

import typer
from rich.markup import escape
from rich.table import Table

from chunk_sync.alerts.message import spell, trial
from chunk_sync.alerts.send import SEND_SECONDS, send, understands
from chunk_sync.cli.session import Session, is_terminal, out, session
from chunk_sync.domain.alerts import Level
from chunk_sync.domain.instants import parse_interval
from chunk_sync.engine.credentials import reveal, seal
from chunk_sync.errors import ProviderError, UsageError
from chunk_sync.store import alert_rules
from chunk_sync.store.alert_rules import NewRoute
from chunk_sync.store.control import Decision
from chunk_sync.store.database import Row

app = typer.Typer(help="What is alarming, and who is told.", no_args_is_help=True)
routes = typer.Typer(help="Where messages about alerts go.", no_args_is_help=True)
app.add_typer(routes, name="route")

_LEVELS: dict[str, Level] = {"warn": "warn", "critical": "critical"}
_REFERENCES = ("env:", "file:", "sealed:")

_Reason = Annotated[str, typer.Option(help="Why; it is kept in the audit log.")]
_Name = Annotated[str, typer.Argument(help="The route's name.")]


@app.command("list")
def show(
    whole: Annotated[bool, typer.Option("--all", help="Also those that are over, the latest 100.")] = False,
) -> None:
    """List the open alerts with what became of their messages, and the silences."""
    with session() as opened:
        rows = alert_rules.list_alerts(opened.database, whole=whole)
        silences = alert_rules.list_silences(opened.database)
    if not rows:
        out.print("no alert is open" if not whole else "there was no alert yet")
    else:
        out.print(_alerts(rows))
    for row in silences:
        about = " of ".join(filter(None, (row["signal"] or "all alerts", row["subject"], row["tenant"])))
        until = f"{row['ends_at']:%Y-%m-%d %H:%M} UTC, by {row['created_by']}: {row['reason']}"
        out.print(f"silence {row['id']}: {about}, until {until}", markup=False, soft_wrap=True)


@app.command("ack")
def ack(
    alert: Annotated[int, typer.Argument(help="The alert's number, as `alert list` has it.")],
    reason: _Reason = "by hand",
) -> None:
    """Say that you look after an alert: it is not repeated, unless it grows worse."""
    with session() as opened:
        signal = alert_rules.acknowledge(opened.database, alert, _decision(reason))
        out.print(f"alert {alert} ({signal}) is acknowledged", markup=False)


@app.command("silence")
def silence(
    length: Annotated[str, typer.Option("--for", help="How long: 30m, 2h, 1d.")],
    signal: Annotated[str | None, typer.Option(help="Only this signal.")] = None,
    tenant: Annotated[str | None, typer.Option(help="Only this tenant's alerts.")] = None,
    subject: Annotated[str | None, typer.Option(help="Only about this mailbox or job, as `alert list` has it.")] = None,
    reason: _Reason = "by hand",
) -> None:
    """Send nothing about some alerts for a while; what is still open then is told then."""
    span = _interval(length, "--for")
    with session() as opened:
        row = alert_rules.add_silence(
            opened.database, span, _decision(reason), tenant=tenant, signal=signal, subject=subject
        )
        out.print(f"silence {row['id']} until {row['ends_at']:%Y-%m-%d %H:%M} UTC")


@app.command("unsilence")
def unsilence(
    silence: Annotated[int, typer.Argument(help="The silence's number, as `alert list` has it.")],
    reason: _Reason = "by hand",
) -> None:
    """End a silence now."""
    with session() as opened:
        alert_rules.end_silence(opened.database, silence, _decision(reason))
        out.print(f"silence {silence} is over")


@routes.command("add")
def add(
    name: _Name,
    to: Annotated[
        str | None, typer.Option(help="Where its apprise URL is: env:NAME or file:PATH; without it you are asked.")
    ] = None,
    tenant: Annotated[str | None, typer.Option(help="Only this tenant's alerts; without it all.")] = None,
    level: Annotated[str, typer.Option(help="warn, or critical: only those.")] = "warn",
    max_per_hour: Annotated[int, typer.Option(min=1, max=1000, help="Messages an hour at most.")] = 20,
    repeat: Annotated[str, typer.Option(help="Tell again while it is open: 1h, 1d, at least 1m.")] = "never",
    reason: _Reason = "by hand",
) -> None:
    """Have messages about alerts sent somewhere. Its URL is a secret: it comes from a variable, a file or a prompt."""
    if level not in _LEVELS:
        message = f"{level!r} is no level: say warn or critical"
        raise UsageError(message)
    again = parse_interval(repeat)
    if again is not None and again < timedelta(minutes=1):
        message = f"--repeat {repeat}: give 1m or more, or never"
        raise UsageError(message)
    with session() as opened:
        target = _target(opened, to)
        note = _check(opened, target)
        route = NewRoute(name, target, tenant, _LEVELS[level], max_per_hour, again)
        alert_rules.add_route(opened.database, route, _decision(reason))
    out.print(f"added route {name}{note}; next: ./chunk-sync alert route test {name}", markup=False, soft_wrap=True)


@routes.command("list")
def list_() -> None:
    """List the routes, with what became of their messages of the last day."""
    with session() as opened:
        rows = alert_rules.list_routes(opened.database)
    if not rows:
        out.print("no route: alerts are kept, nobody is told; add one with ./chunk-sync alert route add")
        return
    table = Table("route", "tenant", "from", "where", "an hour", "repeated", "sent", "waiting", "failed", "held back")
    for row in rows:
        kind, _, place = row["target"].partition(":")
        where = escape(f"{kind}:{place}") if kind != "sealed" else "sealed"
        again = spell(row["repeat_every"]) if row["repeat_every"] else "never"
        counts = [str(row[status]) for status in ("sent", "waiting", "failed", "suppressed")]
        name = escape(row["name"]) + ("" if row["enabled"] else " (off)")
        tenant = escape(row["tenant"] or "all")
        table.add_row(name, tenant, row["min_level"], where, str(row["max_per_hour"]), again, *counts)
    out.print(table)


@routes.command("remove")
def remove(name: _Name, reason: _Reason = "by hand") -> None:
    """Remove a route; what it was sent stays in the books."""
    with session() as opened:
        dropped = alert_rules.remove_route(opened.database, name, _decision(reason))
    rest = f"; {dropped} messages that waited for it are not sent" if dropped else ""
    out.print(f"removed route {name}{rest}", markup=False, soft_wrap=True)


@routes.command("test")
def try_route(name: _Name, reason: _Reason = "by hand") -> None:
    """Send a test message now, and say what came of it; exit code 1 when it did not arrive."""
    with session() as opened:
        target = alert_rules.get_route(opened.database, name)["target"]
        decision = _decision(reason)
        try:
            error = send(reveal(target, opened.settings) or "", trial(name, decision.actor), seconds=2 * SEND_SECONDS)
        except ProviderError as failure:
            error = str(failure)
        alert_rules.note_trial(opened.database, name, error, decision)
    if error is not None:
        out.print(f"route {name}: the message did not arrive: {error}", markup=False, soft_wrap=True)
        raise typer.Exit(1)
    out.print(f"route {name}: the message was accepted", markup=False)


def _alerts(rows: list[Row]) -> Table:
    table = Table("alert", "level", "signal", "about", "since", "what", "messages", "state")
    for row in rows:
        about = ", ".join(filter(None, (row["tenant"], row["subject"])))
        end = row["resolved_at"] or datetime.now(UTC)
        since = f"{row['opened_at']:%Y-%m-%d %H:%M} ({spell(end - row['opened_at'])})"
        table.add_row(
            str(row["id"]),
            row["level"],
            escape(row["signal"]),
            escape(about),
            since,
            escape(row["message"]),
            escape(_messages(row)),
            escape(_state(row)),
        )
    return table


def _messages(row: Row) -> str:
    words = {"sent": "sent", "waiting": "waiting", "failed": "failed", "suppressed": "held back"}
    told = ", ".join(f"{row[status]} {word}" for status, word in words.items() if row[status])
    is_bad = row["waiting"] or row["failed"]
    return f"{told}: {row['last_error']}" if is_bad and row["last_error"] else told or "none"


def _state(row: Row) -> str:
    if row["resolved_at"]:
        return f"over since {row['resolved_at']:%H:%M}"
    return f"acknowledged by {row['acknowledged_by']}" if row["acknowledged_at"] else "open"


def _target(opened: Session, to: str | None) -> str:
    if to is None:
        if not is_terminal():
            message = "no terminal to ask for the URL: give --to env:NAME or --to file:PATH"
            raise UsageError(message)
        return seal(getpass.getpass("apprise URL: "), opened.settings)
    if not to.startswith(_REFERENCES) or to in _REFERENCES or "://" in to:
        message = "a URL on the command line is no secret any more: put it into a variable and say --to env:NAME"
        raise UsageError(message)
    return to


def _check(opened: Session, target: str) -> str:
    """Refuse a URL that apprise does not know; what cannot be read here, but perhaps by the daemon, is only noted."""
    try:
        url = reveal(target, opened.settings) or ""
    except ProviderError as error:
        return f" (not checked: {error})"
    if not understands(url):
        message = "apprise does not know that URL: see its list of services for how it is written"
        raise UsageError(message)
    return ""


def _interval(text: str, option: str) -> timedelta:
    span = parse_interval(text)
    if not span:
        message = f"{option} {text}: say how long, such as 30m, 2h or 1d"
        raise UsageError(message)
    return span


def _decision(reason: str) -> Decision:
    return Decision(reason=reason, actor=f"{getpass.getuser()} (cli)")
