"""`metrics`: numbers for Prometheus, and a page that shows what happens. Neither needs Dagster."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from typing import Annotated, TypeVar

import typer
from rich.console import Console

from chunk_sync.cli.readings import Readings
from chunk_sync.cli.session import err, out
from chunk_sync.local.database import database as located
from chunk_sync.local.signals import stop_signals
from chunk_sync.settings import Settings
from chunk_sync.store.database import Database, check_server
from chunk_sync.store.live import live_status
from chunk_sync.store.metrics import read_samples
from chunk_sync.store.migrations import check_schema, migrate

T = TypeVar("T")

_SAMPLES_SECONDS = 5.0
_LIVE_SECONDS = 1.0
_TICK = 0.2


def metrics(
    port: Annotated[int, typer.Option(min=0, max=65535, help="Where to serve; 0: any free port.")] = 9464,
    host: Annotated[str, typer.Option(help="Which of this machine's addresses; 0.0.0.0: all of them.")] = "127.0.0.1",
    once: Annotated[bool, typer.Option("--once", help="Print the numbers and leave; 1 without a database.")] = False,
) -> None:
    """Serve numbers for Prometheus at /metrics and a live page at /, until Ctrl-C."""
    from chunk_sync.cli.live import serving  # noqa: PLC0415 - a web server, which no other command pays for
    from chunk_sync.cli.prometheus import exposition  # noqa: PLC0415 - as above

    with stop_signals() as stop, _database() as database:
        samples = Readings(_checked(database, read_samples), seconds=_SAMPLES_SECONDS, report=_warn)
        if once:
            sys.stdout.write(exposition(samples.get)[0].decode())
            raise typer.Exit(1 if samples.get().error else 0)
        live = Readings(_checked(database, live_status), seconds=_LIVE_SECONDS, report=str)
        with serving(host, port, partial(exposition, samples.get), live.get) as taken:
            place = f"http://{host}:{taken}"
            _say(f"numbers for Prometheus at {place}/metrics, what happens at {place}/; stop with Ctrl-C")
            while not stop.wait(_TICK):
                pass


@contextmanager
def _database() -> Iterator[Database]:
    """Have the database, whether it answers or not: a server of yours is called by the first reading only."""
    settings = Settings.read()
    with located(settings) as place, Database(place.dsn, application="chunk_sync metrics") as database:
        if place.embedded:
            check_server(place.dsn)
            migrate(database)
        yield database


def _checked(database: Database, read: Callable[[Database], T]) -> Callable[[], T]:
    """Read only what has this code's schema."""
    known: list[bool] = []

    def look() -> T:
        if not known:
            check_schema(database)
            known.append(True)
        return read(database)

    return look


def _say(line: str, console: Console = out) -> None:
    with suppress(OSError):  # the terminal may be what has gone
        console.print(line, markup=False, soft_wrap=True)


def _warn(line: str) -> None:
    _say(line, err)
