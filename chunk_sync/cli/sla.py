"""What tenants are promised: `sla set`, `sla list`, `sla remove`."""

from __future__ import annotations

import getpass
from datetime import timedelta
from typing import Annotated

import typer
from rich.table import Table

from chunk_sync.cli.session import out, session
from chunk_sync.domain.instants import parse_interval
from chunk_sync.errors import UsageError
from chunk_sync.store import slas

app = typer.Typer(help="What tenants are promised, and how each promise stands.", no_args_is_help=True)

_Tenant = Annotated[str | None, typer.Option(help="Whose; without it: everybody who has no promise of their own.")]


@app.command("set")
def promise(
    tenant: _Tenant = None,
    first_sync: Annotated[
        str | None, typer.Option(help="A new mailbox is whole so long after it was asked for: 30m, 24h, 2d.")
    ] = None,
    fresh: Annotated[str | None, typer.Option(help="What has landed is never older than that: 30m, 24h, 2d.")] = None,
    failures: Annotated[str | None, typer.Option(help="So many of the chunks may fail for good: 1%, 0.5%.")] = None,
) -> None:
    """Promise something; what is not given stays as it was."""
    if first_sync is None and fresh is None and failures is None:
        message = "promise something: --first-sync 24h, --fresh 30m or --failures 1%"
        raise UsageError(message)
    promised = slas.Promise(_span(first_sync), _span(fresh), None if failures is None else _share(failures))
    with session() as opened:
        slas.set_sla(opened.database, tenant, promised, actor=_actor())
    out.print(f"promised to {tenant or 'everybody'}; how it stands: `./chunk-sync sla list`, asset tenant_sla")


@app.command("remove")
def take_back(tenant: _Tenant = None) -> None:
    """Take a promise back."""
    with session() as opened:
        if not slas.remove_sla(opened.database, tenant, actor=_actor()):
            message = f"{tenant or 'everybody'} was promised nothing; `./chunk-sync sla list` shows all promises"
            raise UsageError(message)
    out.print(f"{tenant or 'everybody'} is promised nothing any more")


@app.command("list")
def show() -> None:
    """List the promises and how they stood when health was last computed."""
    with session() as opened:
        rows = slas.sla_overview(opened.database)
    table = Table("tenant", "first sync", "fresh", "failures", "kept", "at risk", "broken", "budget left")
    for row in rows:
        table.add_row(
            row["tenant"] or "(everybody)",
            *("-" if row[name] is None else str(row[name]) for name in ("first_sync_within", "freshness_within")),
            "-" if row["failure_budget"] is None else f"{row['failure_budget']:.2%}",
            *(str(row[name]) for name in ("kept", "at_risk", "broken")),
            "-" if row["budget_left"] is None else f"{row['budget_left']:.0%}",
        )
    out.print(table)


def _span(text: str | None) -> timedelta | None:
    span = None if text is None else parse_interval(text)
    if text is not None and not span:
        message = f"{text!r} is no time to promise: write a number and s, m, h or d, such as 24h"
        raise UsageError(message)
    return span


def _share(text: str) -> float:
    try:
        share = float(text.removesuffix("%")) / 100
    except ValueError:
        share = 0.0
    if not text.endswith("%") or not 0 < share < 1:
        message = f"{text!r} is no share of failures: write per cent between 0 and 100, such as 1%"
        raise UsageError(message)
    return share


def _actor() -> str:
    return f"{getpass.getuser()} (cli)"
