"""A whole installation and one sync through it: `python -m benchmarks.mail.end_to_end`.

As `./chunk-sync up` runs it: embedded PostgreSQL, webserver, daemon with its sensors, code server, a process a run. A
small mailbox is synced first, so that the daemon is at work; then the word `go` requests the sync that counts. `end`
takes everything down.
"""

from __future__ import annotations

import os
import time
from pathlib import Path

from benchmarks.mail.engine import MAILBOX
from benchmarks.mail.server import pid_of
from benchmarks.queue.programs.wire import Wire, main
from chunk_sync.demo.maildir import demo_maildir
from chunk_sync.local.ports import choose_private_port
from chunk_sync.local.services import Stack
from chunk_sync.local.signals import exit_on_signals
from chunk_sync.settings import HOME, Settings
from chunk_sync.store.database import Database
from chunk_sync.store.mailboxes import add_mailbox, request_sync
from chunk_sync.store.migrations import migrate
from chunk_sync.store.status import unsettled

_LOOK_SECONDS = 0.2
_WARM_MESSAGES = 25
_STATE = """
    SELECT status IN ('requested', 'planning', 'processing') AS open, status = 'completed' AS completed,
        concat_ws(': ', status, error_category, error_message) AS reason
    FROM sync_jobs WHERE id = %s
"""


def sync(wire: Wire) -> None:
    """Sync the mailbox."""
    job = wire.job
    os.environ.update({HOME: job["home"], **job["settings"]})
    settings = Settings.read()
    with (
        exit_on_signals(),
        Stack(settings, port=choose_private_port()) as stack,
        Database(stack.dsn) as database,
    ):
        migrate(database)
        stack.start_services()
        while not stack.ready():
            stack.check()
            time.sleep(_LOOK_SECONDS)
        _warm(stack, database, settings.home / "warm")
        server = stack.database.server
        assert server is not None
        add_mailbox(database, name=MAILBOX, address=job["address"], provider="imap", credential=f"file:{job['secret']}")
        wire.say(ready={"dsn": stack.dsn, "postgres": pid_of(server)})
        if wire.word() == "go":
            job_id = request_sync(database, MAILBOX, requested_by="benchmark").job_id
            _until_ended(stack, database, job_id)
            wire.say(result={"job": job_id})
            while wire.word() not in {"end", "stop"}:
                pass
    wire.say(closed=True)


def _warm(stack: Stack, database: Database, folder: Path) -> None:
    """Sync a handful of messages of another tenant, and wait until nothing moves any more."""
    demo_maildir(folder, _WARM_MESSAGES)
    add_mailbox(
        database, name="warm", address=f"maildir:{folder}", provider="maildir", credential=None, tenant="another"
    )
    _until_ended(stack, database, request_sync(database, "warm", tenant="another").job_id)
    while unsettled(database):
        stack.check()
        time.sleep(_LOOK_SECONDS)


def _until_ended(stack: Stack, database: Database, job_id: int) -> None:
    while (state := database.execute(_STATE, (job_id,))[0])["open"]:
        stack.check()
        time.sleep(_LOOK_SECONDS)
    if not state["completed"]:
        raise RuntimeError(state["reason"])


if __name__ == "__main__":
    main(sync=sync)
