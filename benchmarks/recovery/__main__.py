"""`python -m benchmarks.recovery [--rounds 3] [--messages 8000]`: from kill -9 to work again, by who notices.

A whole installation as `./chunk-sync up` runs it syncs a mailbox; half-way the run's process is killed, alone (Dagster
knows it) or together with the code server that would notice (the lease has to run out). Printed are the seconds until
the run's chunks may be claimed again, until somebody works on the sync again, and until one of these very chunks is at
work, whose turn comes after those that have waited longer; beside the ten minutes that the original waited before it
looked for stuck chunks at all.
"""

from __future__ import annotations

import argparse
import os
import platform
import statistics
import time
from contextlib import suppress
from dataclasses import dataclass
from typing import LiteralString

import psutil

from chunk_sync.demo.maildir import demo_maildir
from chunk_sync.store.mailboxes import add_mailbox, request_sync
from chunk_sync_tests.e2e.installation import Installation
from chunk_sync_tests.postgres_plugin import scratch_folder

ORIGINAL_SECONDS = 600.0
_LEASE_SECONDS = 60
_WAIT_SECONDS = 300.0


@dataclass(frozen=True, slots=True)
class Recovery:
    """Seconds after the kill: until its chunks were due, the sync was worked on, and one of its chunks was claimed."""

    due: float
    goes_on: float
    claimed: float


def recover_once(installation: Installation, name: str, *, with_code_server: bool) -> Recovery:
    """Sync a mailbox, kill the run half-way, and watch."""
    database = installation.database
    job_id = request_sync(database, name, sync_type="manual").job_id

    def half_way() -> bool | None:
        held = database.execute(
            "SELECT count(*) AS n FROM chunk_processing_queue WHERE sync_job_id = %s AND status = 'processing'",
            (job_id,),
        )
        return True if held[0]["n"] and installation.run_workers() else None

    installation.wait_for(half_way, _WAIT_SECONDS, "run at work")
    victims = installation.run_workers()
    if with_code_server:
        victims += [p for p in installation.processes() if "code-server" in p.cmdline() or "api" in p.cmdline()]
    for process in victims:
        with suppress(psutil.Error):
            process.kill()
    killed_at, moment = time.monotonic(), database.execute("SELECT clock() AS now")[0]["now"]

    def since(action: LiteralString) -> float:
        asked = {"job": job_id, "moment": moment}
        return installation.wait_for(
            lambda: time.monotonic() - killed_at if database.execute(action, asked) else None, _WAIT_SECONDS, action
        )

    due = since("SELECT id FROM audit_log WHERE action = 'stuck_chunk_reset' AND sync_job_id = %(job)s LIMIT 1")
    goes_on = since(
        "SELECT chunk_id FROM chunk_processing_queue WHERE sync_job_id = %(job)s AND started_at > %(moment)s LIMIT 1"
    )
    claimed = since("SELECT chunk_id FROM chunk_processing_queue WHERE sync_job_id = %(job)s AND attempts > 1 LIMIT 1")
    installation.wait_until_ended(job_id, _WAIT_SECONDS)
    return Recovery(due, goes_on, claimed)


def main() -> None:
    """Run the rounds, print medians and ratios."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.recovery", description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--messages", type=int, default=8000, help="in the mailbox")
    options = parser.parse_args()
    print(f"Python {platform.python_version()}, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}, lease 60 s")
    variables = {"CHUNK_SYNC_LEASE_SECONDS": str(_LEASE_SECONDS), "CHUNK_SYNC_RUN_THREADS": "1"}
    with scratch_folder() as folder, Installation(folder / "home", variables) as installation:
        demo_maildir(folder / "Maildir", options.messages)
        print(f"{'noticed by':<28}{'due again':>12}{'work goes on':>14}{'claimed':>12}{'ten minutes over that':>24}")
        for label, with_code_server in (("Dagster: the run is over", False), ("the lease alone", True)):
            found: list[Recovery] = []
            for number in range(options.rounds):
                name = f"{'both' if with_code_server else 'run'}{number}"
                add_mailbox(
                    installation.database,
                    name=name,
                    address=f"maildir:{folder / 'Maildir'}",
                    provider="maildir",
                    credential=None,
                )
                found.append(recover_once(installation, name, with_code_server=with_code_server))
            due, goes_on, claimed = (
                statistics.median(getattr(one, what) for one in found) for what in ("due", "goes_on", "claimed")
            )
            ratio = ORIGINAL_SECONDS / goes_on
            print(f"{label:<28}{due:>10.1f} s{goes_on:>12.1f} s{claimed:>10.1f} s{ratio:>24.1f}")


if __name__ == "__main__":
    main()
