"""pgqueuer: PgQueuer over asyncpg, on uvloop as its own command line runs it."""

from __future__ import annotations

import asyncio
import time
import uuid
from datetime import timedelta

import asyncpg
import uvloop
from pgqueuer import PgQueuer
from pgqueuer.models import Job
from pgqueuer.ports.repository import EntrypointExecutionParameter
from pgqueuer.queries import Queries
from pgqueuer.types import QueueEntrypoint, QueueManagerId
from wire import Wire, claim_times_async, main, timed

_SLICE = 1000
_POOL = 4


async def setup(wire: Wire) -> None:
    """Install its schema, with the autovacuum settings that it recommends."""
    conn = await asyncpg.connect(wire.dsn)
    queries = Queries.from_asyncpg_connection(conn)
    await queries.install()
    await queries.optimize_autovacuum()
    await conn.close()


async def enqueue(wire: Wire) -> None:
    """Enqueue in batches of a thousand."""
    conn = await asyncpg.connect(wire.dsn)
    queries = Queries.from_asyncpg_connection(conn)
    started = time.perf_counter()
    for first in range(0, wire.job["jobs"], _SLICE):
        payloads: list[bytes | None] = [
            b"%d" % number for number in range(first, min(first + _SLICE, wire.job["jobs"]))
        ]
        await queries.enqueue(["noop"] * len(payloads), payloads, [0] * len(payloads))
    timed(wire, started)
    await conn.close()


async def _make(wire: Wire) -> PgQueuer:
    if wire.options.get("pool"):
        pgq = PgQueuer.from_asyncpg_pool(await asyncpg.create_pool(wire.dsn, min_size=_POOL, max_size=_POOL))
    else:
        pgq = PgQueuer.from_asyncpg_connection(await asyncpg.connect(wire.dsn))

    @pgq.entrypoint("noop")
    async def noop(job: Job) -> None:
        wire.handled()
        if wire.job["verb"] == "wait":
            wire.say(got=int(job.payload or b""), at=time.time())

    return pgq


async def work(wire: Wire) -> None:
    """Run it until told to stop."""
    pgq = await _make(wire)
    await wire.ready_async()
    await _run(wire, pgq, wire.options["batch"])


async def wait(wire: Wire) -> None:
    """Run it; it listens by itself."""
    pgq = await _make(wire)
    wire.say(ready=True)
    await _run(wire, pgq, 10)


async def _run(wire: Wire, pgq: PgQueuer, batch: int) -> None:
    worker = asyncio.create_task(pgq.run(batch_size=batch))
    until = asyncio.create_task(wire.until_stopped())
    await asyncio.wait([worker, until], return_when=asyncio.FIRST_COMPLETED)
    pgq.shutdown.set()
    await asyncio.wait([worker], timeout=5)


async def claims(wire: Wire) -> list[float]:
    """Time its dequeue; jobs end in its log, as after a run."""
    conn = await asyncpg.connect(wire.dsn)
    queries = Queries.from_asyncpg_connection(conn)
    manager = QueueManagerId(uuid.uuid4())
    entrypoints = {QueueEntrypoint("noop"): EntrypointExecutionParameter(concurrency_limit=0)}

    async def claim() -> list[Job]:
        return await queries.dequeue(wire.job["batch"], entrypoints, manager, None, timedelta(seconds=30))

    async def complete(jobs: list[Job]) -> None:
        await queries.log_jobs([(job, "successful", None) for job in jobs])

    return await claim_times_async(wire, claim, complete)


async def send(wire: Wire) -> None:
    """Enqueue a job at each word."""
    conn = await asyncpg.connect(wire.dsn)
    queries = Queries.from_asyncpg_connection(conn)
    wire.say(ready=True)
    number = 0
    while await asyncio.to_thread(wire.word) == "go":
        await queries.enqueue("noop", b"%d" % number)
        wire.say(sent=number, at=time.time())
        number += 1
    await conn.close()


uvloop.install()
main(setup=setup, enqueue=enqueue, work=work, claims=claims, wait=wait, send=send)
