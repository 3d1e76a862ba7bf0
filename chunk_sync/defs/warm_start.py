"""Runs that start at once: Dagster's code server forks them from a process that has imported everything.

By itself it starts an interpreter for each run, which imports for longer than most runs work, and has no setting for
that (docs/decisions/0017-warm-runs.md).
"""

import multiprocessing
import sys

_SERVING = ["api", "grpc"]
NEEDED_BY_RUNS = [
    "dagster._grpc.impl",
    "chunk_sync.defs.storage",
    "chunk_sync.engine.credentials",
    "chunk_sync.mail.connect",
    "psycopg2.extras",
    "upath.core",
    "dotenv",
]
"""What a run imports besides the definitions: Dagster's entry, the storage of dagster.yaml, what opens a mailbox; last
what Dagster imports late, in each run again.
"""


def fork_runs(definitions: str) -> None:
    """Let the code server that loads these definitions fork its runs; in any other process nothing changes.

    Python's own fork server does it: a process without threads and connections, started with the first run.
    Where Dagster comes to start its runs in another way, this has no effect.
    """
    if sys.platform != "linux" or sys.argv[1:3] != _SERVING:
        return
    multiprocessing.set_forkserver_preload([definitions, *NEEDED_BY_RUNS])
    # Dagster asks for "spawn", by name; both take the same arguments and hand them over in the same way.
    spawn = multiprocessing.get_context("spawn")
    vars(spawn)["Process"] = multiprocessing.get_context("forkserver").Process
