"""chancy: its async executor with eager polling. It claims as many as its concurrency has room for.

Its default plugins (leader, pruner, recovery, metrics, workflows) are left out: that favours it. A worker writes
completions together, each second; that interval is shortened to what its documentation allows to be set.
"""

from __future__ import annotations

import asyncio
import logging
import time

import chancy
from chancy import Chancy, Job, Queue, Worker
from wire import Wire, claim_times_async, main, timed

_FLUSH_SECONDS = 0.05
_current: list[Wire] = []


async def noop(*, number: int) -> None:
    """Count the job."""
    wire = _current[0]
    wire.handled()
    if wire.job["verb"] == "wait":
        wire.say(got=number, at=time.time())


def make(wire: Wire) -> Chancy:
    """Build the app."""
    _current[:] = [wire]
    log = logging.getLogger("chancy")
    log.setLevel(logging.WARNING)
    return Chancy(wire.dsn, log=log, no_default_plugins=True)


def make_queue(wire: Wire) -> Queue:
    """Describe the queue for a worker with these options."""
    return Queue(
        "jobs",
        concurrency=wire.options.get("concurrency", 10),
        executor=Chancy.Executor.Async,
        polling_interval=1,
        eager_polling=True,
    )


async def setup(wire: Wire) -> None:
    """Apply its migrations."""
    async with make(wire) as app:
        await app.migrate()


async def enqueue(wire: Wire) -> None:
    """Push in batches of a thousand, its default."""
    async with make(wire) as app:
        await app.declare(make_queue(wire), upsert=True)
        job = Job.from_func(noop, queue="jobs")
        started = time.perf_counter()
        async for _ in app.push_many([job.with_kwargs(number=number) for number in range(wire.job["jobs"])]):
            pass
        timed(wire, started)


async def work(wire: Wire) -> None:
    """Run its worker until told to stop."""
    async with make(wire) as app:
        await app.pool.wait()
        await wire.ready_async()
        await _run(wire, app)


async def wait(wire: Wire) -> None:
    """Run its worker; it listens by itself."""
    async with make(wire) as app:
        await app.declare(make_queue(wire), upsert=True)
        wire.say(ready=True)
        await _run(wire, app)


async def _run(wire: Wire, app: Chancy) -> None:
    worker = Worker(app, register_signal_handlers=False, shutdown_timeout=2)
    worker.send_outgoing_interval = _FLUSH_SECONDS
    async with worker:
        await wire.until_stopped()


async def claims(wire: Wire) -> list[float]:
    """Time its fetch."""
    async with make(wire) as app:
        worker = Worker(app)
        queue = make_queue(wire)

        async def claim() -> list[chancy.QueuedJob]:
            async with app.pool.connection() as conn:
                return await worker.fetch_jobs(queue, conn, up_to=wire.job["batch"])

        async def complete(jobs: list[chancy.QueuedJob]) -> None:
            async with app.pool.connection() as conn:
                await conn.execute(
                    "UPDATE chancy_jobs SET state = 'succeeded', completed_at = now() WHERE id = ANY(%s::uuid[])",
                    ([job.id for job in jobs],),
                )

        return await claim_times_async(wire, claim, complete)


async def send(wire: Wire) -> None:
    """Push a job at each word."""
    async with make(wire) as app:
        job = Job.from_func(noop, queue="jobs")
        wire.say(ready=True)
        number = 0
        while await asyncio.to_thread(wire.word) == "go":
            await app.push(job.with_kwargs(number=number))
            wire.say(sent=number, at=time.time())
            number += 1


if __name__ == "__main__":
    main(setup=setup, enqueue=enqueue, work=work, claims=claims, wait=wait, send=send)
