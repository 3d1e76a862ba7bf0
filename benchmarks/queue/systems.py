"""What is compared: each system with its library's pins, its options for a batch, its way to say what is left."""

from __future__ import annotations

import re
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.queue.install import Environment
from benchmarks.queue.process import ask
from benchmarks.queue.server import Server

BATCHES = (1, 10, 100)
OURS = "chunk_sync"
FAIR = "chunk_sync, fair"
FIFO = "its rows, plain FIFO"

_FILL_SECONDS = 120.0

Options = dict[str, Any]


@dataclass(frozen=True)
class Mode:
    """A row of the table: options for each batch that the system has a way for."""

    label: str
    options: dict[int, Options]


@dataclass(frozen=True)
class System:
    """A system: `unfinished` counts the jobs that are not completed, in the database.

    `claims` are the kinds of claim whose latency can be timed, `seed` the verb that fills a queue for that,
    `deepest` how far its library fills one in a bearable time.
    """

    name: str
    program: str
    modes: tuple[Mode, ...]
    unfinished: str
    language: str = "python"
    pins: tuple[str, ...] = ()
    claims: tuple[tuple[str, dict[int, Options]], ...] = ()
    seed: str = "enqueue"
    deepest: int = 1_000_000
    note: str = ""


OUR_SYSTEM = System(
    OURS,
    "benchmarks.queue.ours",
    (Mode(OURS, {batch: {"batch": batch} for batch in BATCHES}),),
    "SELECT count(*) FROM chunk_sync.chunk_processing_queue WHERE status IN ('pending', 'processing')",
    claims=(
        (FAIR, {1: {}, 10: {}}),
        (FIFO, {1: {"fifo": True}, 10: {"fifo": True}}),
    ),
    seed="seed",
    note="lanes, leases, fencing, limits and history on",
)

PEERS = (
    System(
        "procrastinate",
        "with_procrastinate.py",
        (
            Mode("procrastinate", {1: {"concurrency": 1}}),
            Mode("procrastinate, concurrency 20", {1: {"concurrency": 20}}),
        ),
        "SELECT count(*) FROM procrastinate_jobs WHERE status IN ('todo', 'doing')",
        pins=("procrastinate==3.10.0", "psycopg[binary,pool]==3.3.9"),
        claims=(("procrastinate", {1: {}}),),
        note="claims one job a call",
    ),
    System(
        "pgqueuer",
        "with_pgqueuer.py",
        (Mode("pgqueuer", {batch: {"batch": batch} for batch in BATCHES}),),
        "SELECT count(*) FROM pgqueuer",
        pins=("pgqueuer[asyncpg]==1.6.0", "asyncpg==0.32.0", "uvloop==0.23.0"),
        claims=(("pgqueuer", {1: {}, 10: {}}),),
        note="asyncpg and uvloop",
    ),
    System(
        "chancy",
        "with_chancy.py",
        (
            Mode("chancy", {batch: {"concurrency": batch} for batch in BATCHES}),
            Mode("chancy, concurrency 1000", {100: {"concurrency": 1000}}),
        ),
        "SELECT count(*) FROM chancy_jobs WHERE state <> 'succeeded'",
        pins=("chancy==0.26.0", "psycopg[binary,pool]==3.3.9"),
        claims=(("chancy", {1: {}, 10: {}}),),
        deepest=100_000,
        note="batch is its concurrency; async executor, eager polling",
    ),
    System(
        "graphile-worker",
        "with_graphile.mjs",
        (
            Mode(
                "graphile-worker",
                {1: {"worker": {}}}
                | {
                    batch: {
                        "worker": {
                            "concurrentJobs": 24,
                            "maxPoolSize": 25,
                            "localQueue": {"size": batch},
                            "completeJobBatchDelay": 0,
                            "failJobBatchDelay": 0,
                        }
                    }
                    for batch in (10, 100)
                },
            ),
            Mode("graphile-worker, concurrency 10", {1: {"worker": {"concurrentJobs": 10, "maxPoolSize": 12}}}),
            Mode(
                "graphile-worker, local queue 500",
                {
                    100: {
                        "worker": {
                            "concurrentJobs": 24,
                            "maxPoolSize": 25,
                            "localQueue": {"size": 500, "refetchDelay": {"durationMs": 10}},
                            "completeJobBatchDelay": 0,
                            "failJobBatchDelay": 0,
                        }
                    }
                },
            ),
        ),
        "SELECT count(*) FROM graphile_worker._private_jobs",
        language="node",
        pins=("graphile-worker@0.18.0",),
        note="batch 1: its defaults; more: localQueue and completions batched",
    ),
    System(
        "pg-boss",
        "with_pgboss.mjs",
        (Mode("pg-boss", {batch: {"batch": batch} for batch in BATCHES}),),
        "SELECT count(*) FROM pgboss.job WHERE name = 'jobs' AND state < 'completed'",
        language="node",
        pins=("pg-boss@12.35.0",),
        claims=(("pg-boss", {1: {}, 10: {}}),),
        note="fetch and complete",
    ),
    System(
        "pgmq",
        "with_pgmq.py",
        (
            Mode("pgmq, delete", {batch: {"batch": batch} for batch in BATCHES}),
            Mode("pgmq, archive", {batch: {"batch": batch, "finish": "archive"} for batch in BATCHES}),
        ),
        "SELECT count(*) FROM pgmq.q_jobs",
        pins=("pgmq==1.1.4", "psycopg[binary,pool]==3.3.9"),
        claims=(("pgmq", {1: {}, 10: {}}),),
        note="its SQL through psycopg",
    ),
)


@dataclass(frozen=True)
class Ready:
    """A system that is installed, its schema too, on a server."""

    system: System
    command: list[str]
    server: Server

    def job(self, verb: str, dsn: str, **fields: object) -> dict[str, object]:
        """Write a program's first line."""
        return {"verb": verb, "dsn": dsn, **fields}

    def database(self, name: str, like: str = "template") -> str:
        """Give it a database, as it was after the installation or like another of its own; the URL."""
        return self.server.create(database_name(self.system, name), database_name(self.system, like))

    def enqueue(self, dsn: str, jobs: int, options: Options, *, verb: str = "enqueue") -> float:
        """Have it enqueue so many jobs through its library; the seconds that took."""
        job = self.job(verb, dsn, jobs=jobs, options=options)
        return ask(self.command, job, "seconds", seconds=_FILL_SECONDS + jobs / 1000)


def modes(systems: Sequence[Ready]) -> list[tuple[Ready, Mode]]:
    """List the rows of a table."""
    return [(ready, mode) for ready in systems for mode in ready.system.modes]


def database_name(system: System, name: str) -> str:
    """Name a database of letters and digits only: drivers read URLs in their own ways."""
    return re.sub(r"\W+", "_", f"{system.name} {name}")


def prepare(system: System, server: Server, cache: Path) -> tuple[Ready, str]:
    """Install a system, its library and its schema; with what its line says. Raises NotInstalled or Failed."""
    if system.pins:
        environment = Environment(system.name, system.language, system.pins, cache)
        environment.install()
        command, line = environment.command(system.program), f"{environment.versions()}: {system.note}"
    else:
        command, line = [sys.executable, "-m", system.program], f"{system.name}: {system.note}"
    ready = Ready(system, command, server)
    ask(command, ready.job("setup", server.create(database_name(system, "template"))), "ended")
    return ready, line
