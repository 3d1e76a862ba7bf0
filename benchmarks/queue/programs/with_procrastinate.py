"""procrastinate: its App, its worker, async tasks. It claims one job a call; `concurrency` overlaps them."""

from __future__ import annotations

import asyncio
import time

import procrastinate
from procrastinate.jobs import Job, Status
from wire import Wire, claim_times_async, main, timed

_SLICE = 1000


def make_app(wire: Wire, *, connections: int = 4) -> procrastinate.App:
    """Build the app with its one task, which counts itself."""
    connector = procrastinate.PsycopgConnector(conninfo=wire.dsn, min_size=connections, max_size=connections)
    app = procrastinate.App(connector=connector)

    @app.task(name="noop")
    async def noop(number: int) -> None:
        wire.handled()
        if wire.job["verb"] == "wait":
            wire.say(got=number, at=time.time())

    return app


async def setup(wire: Wire) -> None:
    """Apply its schema."""
    app = make_app(wire)
    async with app.open_async():
        await app.schema_manager.apply_schema_async()


async def enqueue(wire: Wire) -> None:
    """Defer in batches of a thousand."""
    app = make_app(wire)
    async with app.open_async():
        task = app.tasks["noop"].configure()
        started = time.perf_counter()
        for first in range(0, wire.job["jobs"], _SLICE):
            numbers = range(first, min(first + _SLICE, wire.job["jobs"]))
            await task.batch_defer_async(*({"number": number} for number in numbers))
        timed(wire, started)


async def work(wire: Wire) -> None:
    """Run its worker until told to stop. It need not listen: the jobs are there."""
    concurrency = wire.options["concurrency"]
    app = make_app(wire, connections=concurrency + 3)
    async with app.open_async():
        await wire.ready_async()
        await _run(wire, app, concurrency=concurrency, listen_notify=False)


async def wait(wire: Wire) -> None:
    """Run its worker, listening."""
    app = make_app(wire)
    async with app.open_async():
        wire.say(ready=True)
        await _run(wire, app, concurrency=1, listen_notify=True)


async def _run(wire: Wire, app: procrastinate.App, *, concurrency: int, listen_notify: bool) -> None:
    worker = asyncio.create_task(
        app.run_worker_async(concurrency=concurrency, listen_notify=listen_notify, install_signal_handlers=False)
    )
    until = asyncio.create_task(wire.until_stopped())
    await asyncio.wait([worker, until], return_when=asyncio.FIRST_COMPLETED)
    worker.cancel()
    await asyncio.wait([worker])


async def claims(wire: Wire) -> list[float]:
    """Time its fetch of one job."""
    app = make_app(wire)
    async with app.open_async():
        worker_id = await app.job_manager.register_worker()

        async def claim() -> list[Job]:
            job = await app.job_manager.fetch_job(queues=None, worker_id=worker_id)
            return [job] if job else []

        async def complete(jobs: list[Job]) -> None:
            await app.job_manager.finish_job(jobs[0], status=Status.SUCCEEDED, delete_job=False)

        return await claim_times_async(wire, claim, complete)


async def send(wire: Wire) -> None:
    """Defer a job at each word."""
    app = make_app(wire)
    async with app.open_async():
        wire.say(ready=True)
        number = 0
        while await asyncio.to_thread(wire.word) == "go":
            await app.tasks["noop"].defer_async(number=number)
            wire.say(sent=number, at=time.time())
            number += 1


main(setup=setup, enqueue=enqueue, work=work, claims=claims, wait=wait, send=send)
