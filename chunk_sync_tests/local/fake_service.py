"""A stand-in for one of Dagster's processes: `python -m chunk_sync_tests.local.fake_service WAY...`.

Ways: `die` at once, `stay`, `listen` on a port, `deaf` to SIGINT and SIGTERM, `worker` starts a run worker (a child
that multiprocessing spawned) and waits for it when told to stop, `forked-worker` one that a fork server made,
`deaf-worker` one that hears nothing, `orphan` leaves a deaf grandchild behind and dies.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import socket
import subprocess
import sys
import time
from multiprocessing.synchronize import Event
from pathlib import Path


def main() -> None:
    """Behave as the first argument says."""
    way = sys.argv[1]
    sys.stdout.write(f"started {way}\n")
    sys.stdout.flush()
    if way == "die":
        sys.exit(3)
    listener = socket.create_server(("127.0.0.1", int(sys.argv[2]))) if way == "listen" else None
    if way == "deaf":
        be_deaf()
        sys.stdout.write("is deaf\n")
        sys.stdout.flush()
    if way == "orphan":
        subprocess.Popen([sys.executable, "-m", __spec__.name, "deaf"])
        return
    worker = None
    if way.endswith("worker"):
        context = multiprocessing.get_context("forkserver" if way == "forked-worker" else "spawn")
        ready = context.Event()
        worker = context.Process(target=work, args=(way, sys.argv[2], ready))
        signal.signal(signal.SIGINT, lambda *_: (worker.join(), sys.exit(0)))
        worker.start()
        ready.set()
    time.sleep(600)
    del listener


def work(way: str, report: str, ready: Event) -> None:
    """Run until SIGTERM, and record it as Dagster's run worker does."""
    be_deaf()
    if way != "deaf-worker":
        signal.signal(signal.SIGTERM, lambda *_: (Path(report).write_text("run failed"), os._exit(0)))
    ready.wait()  # whoever started us can join us now
    Path(report).with_suffix(".started").touch()
    time.sleep(600)


def be_deaf() -> None:
    """Ignore all that asks to stop."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)


if __name__ == "__main__":
    main()
