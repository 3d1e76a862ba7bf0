"""`status` as people and scripts meet it: once or again and again, on a terminal or into a pipe, database or not."""

from __future__ import annotations

import json
import os
import pty
import re
import signal
import subprocess
import threading
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from rich.console import Console

from chunk_sync.cli.readings import Reading
from chunk_sync.cli.status_json import status_json
from chunk_sync.cli.watch import SystemView
from chunk_sync.settings import HOME, PROJECT_ROOT, environment
from chunk_sync.store.database import Database
from chunk_sync.store.live import Alert, LiveStatus, Stopped, live_status
from chunk_sync_tests.cli.monitor import gone, running
from chunk_sync_tests.cli.warm import run_warm
from chunk_sync_tests.e2e.installation import COMMAND
from chunk_sync_tests.factory import PlannedJob, claim, complete, fail_for_good, make_job, make_mailbox, open_worker
from chunk_sync_tests.postgres_plugin import PgServer

NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)


@pytest.fixture
def job(database: Database) -> PlannedJob:
    """Of five chunks one has landed, one is a dead letter, one is running; a mailbox is throttled."""
    planned = make_job(database, make_mailbox(database), chunks=5)
    landed, dead, _ = claim(database, planned, open_worker(database, lease=3600), 3)
    complete(database, landed)
    fail_for_good(database, dead)
    throttled = make_mailbox(database, "throttled")
    later = "UPDATE mailbox_lanes SET not_before = '2100-01-01' WHERE mailbox_id = %s"
    database.execute(later, (throttled.id,))
    return planned


def test_a_look_says_everything(database: Database, job: PlannedJob) -> None:
    """Chunks, workers, jobs, what stands still, what fails and what is alarming, of one moment."""
    status = live_status(database)
    assert (2, 1, 2, 1) == (status.waiting, status.processing, status.due, status.workers)
    assert [(job.id, "processing", 1, 10)] == [
        (one.job_id, one.status, one.completed_chunks, one.emails_processed) for one in status.jobs
    ]
    assert [("throttled", "throttled", 2100)] == [
        (one.mailbox, one.state, one.until and one.until.year) for one in status.stopped
    ]
    assert {"permission": 1} == status.failures
    assert ["dead_letters"] == [alert.signal for alert in status.alerts]


def test_open_jobs_come_first_then_the_last_ones_that_ended(database: Database) -> None:
    """Of a long history a few are listed, of one mailbox when one is named."""
    boxes = [make_mailbox(database, name) for name in ("a", "b")]
    ended = [make_job(database, box, chunks=0).id for box in boxes for _ in range(8)]
    waits = make_job(database, boxes[0], chunks=1).id
    assert [waits, *reversed(ended[-10:])] == [one.job_id for one in live_status(database).jobs]
    of_a = live_status(database, mailbox_id=boxes[0].id, ended=2)
    assert [waits, ended[7], ended[6]] == [one.job_id for one in of_a.jobs]


def test_a_forecast_is_shown_as_a_range(database: Database, job: PlannedJob) -> None:
    """The newest one of an open job, in the table and in the JSON; one that is an hour old says nothing any more."""
    for hours in (50, 5):
        database.execute(
            "INSERT INTO forecasts (kind, tenant_id, mailbox_id, sync_job_id, landed, planned, low_at, expected_at,"
            " high_at, rate, spread, model, why) SELECT 'job', tenant_id, mailbox_id, id, 10, 50,"
            " clock() + %(h)s * interval '1 h', clock() + %(h)s * interval '2 h',"
            " clock() + %(h)s * interval '3 h', 1, 1, 'test', 'test' FROM sync_jobs",
            {"h": hours},
        )
    status = live_status(database)
    assert re.search(r" (4 h 59|5 h 00) min to 1(4 h 59|5 h 00) min", drawn(SystemView(), Reading(status)))
    (told,) = json.loads(status_json(Reading(status)))["jobs"]
    left = [(datetime.fromisoformat(told[name]) - status.at).total_seconds() for name in ("low_at", "high_at")]
    assert [5, 15] == [round(seconds / 3600, 1) for seconds in left]
    database.execute("UPDATE forecasts SET made_at = clock() - interval '61 min'")
    assert {} == live_status(database).ends


def drawn(view: SystemView, reading: Reading[LiveStatus]) -> str:
    """What stands on the terminal."""
    console = Console(width=160, force_terminal=False)
    with console.capture() as text:
        console.print(view.render(reading))
    return text.get()


def some_status(**changes: object) -> LiveStatus:
    """A look at a system in which nothing happens."""
    nothing = {"at": NOW, "waiting": 0, "processing": 0, "due": 0, "oldest_due_seconds": 0.0, "workers": 0}
    return LiveStatus(**(nothing | {"jobs": [], "ends": {}, "stopped": [], "failures": {}, "alerts": []} | changes))  # type: ignore[arg-type]


def test_the_last_picture_stays_while_the_database_is_away() -> None:
    """It is said since when, and no more once it is back."""
    view = SystemView()
    assert "no answer from the database since" in drawn(view, Reading(None, "server closed the connection"))
    good = Reading(some_status(waiting=7))
    assert "7 chunks waiting" in drawn(view, good)
    away = drawn(view, Reading(None, "server closed the connection"))
    assert re.search(r"since \d\d:\d\d:\d\d, trying again: server closed the connection\n.*7 chunks waiting", away)
    assert away == drawn(view, Reading(None, "server closed the connection"))
    assert "no answer" not in drawn(view, good)


def test_strangers_text_moves_no_cursor() -> None:
    """Escape sequences and markup in names and messages are shown and not obeyed."""
    evil = "[red]x\x1b[2J\x07\n"
    status = some_status(
        stopped=[Stopped(evil, evil, "throttled", NOW + timedelta(hours=1))],
        alerts=[Alert("dead_letters", "warn", 1.0, evil)],
    )
    shown = drawn(SystemView(), Reading(status)) + SystemView().line(Reading(status))
    assert 3 <= shown.count("[red]x\ufffd[2J\ufffd\ufffd")
    assert "\x1b" not in shown


def test_json_is_one_object(database: Database, job: PlannedJob, tmp_path: Path) -> None:
    """Scripts get what people see, instants in ISO 8601, and null for no error."""
    done = run_warm(tmp_path, "status", "--json", variables={"CHUNK_SYNC_DSN": database.dsn})
    told = json.loads(done.stdout)
    assert (0, None, 2, ["box"]) == (
        done.returncode,
        told["error"],
        told["waiting"],
        [one["mailbox"] for one in told["jobs"]],
    )
    assert told["jobs"][0]["open"] is True
    assert abs(datetime.now(UTC) - datetime.fromisoformat(told["at"])) < timedelta(minutes=5)


def test_into_a_pipe_goes_a_line_a_change(
    database: Database, job: PlannedJob, pg_server: PgServer, tmp_path: Path
) -> None:
    """What has not changed is not said again; the database may go and come back; Ctrl-C is an ordinary end."""
    with running(database, tmp_path, "status", "--watch") as command:
        first = command.line()
        assert first.startswith("2 chunks waiting, 2 of them due, 1 at work; 1 workers; warn: dead_letters; throttled")
        assert "box #1 processing: 10 of 50 messages, 1 of 5 chunks" in first
        (chunk,) = claim(database, job, open_worker(database, "another", 3600))
        complete(database, chunk)
        assert "2 of 5 chunks" in command.line(lambda line: "1 chunks waiting" in line and "2 of 5" in line)
        with gone(pg_server, database):
            assert "no answer from the database since" in command.line()
        # It may have looked again meanwhile, and have heard another reason.
        back = command.line(lambda line: "no answer from the database since" not in line)
        assert "2 of 5 chunks" in back
        assert (0, []) == command.end()


def test_json_lines_and_a_mailbox_that_is_done(database: Database, job: PlannedJob, tmp_path: Path) -> None:
    """With --json each look is a line; with a mailbox it ends when that one's jobs have."""
    with running(database, tmp_path, "status", "box", "--watch", "--json") as command:
        assert [True] == [one["open"] for one in json.loads(command.line())["jobs"]]
        database.execute("SELECT cancel_sync('sync_job', public_id, 'enough') FROM sync_jobs")
        assert 0 == command.process.wait(60)
    assert [False] == [one["open"] for one in json.loads(command.end()[1][-1])["jobs"]]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_terminal_is_left_as_it_was(
    database: Database, job: PlannedJob, tmp_path: Path, number: signal.Signals
) -> None:
    """On a terminal the picture is drawn over; the cursor is back when a signal ends it, with exit code 0."""
    ours, theirs = pty.openpty()
    with subprocess.Popen(
        [*COMMAND, "status", "--watch"],
        env=environment() | {HOME: str(tmp_path), "CHUNK_SYNC_DSN": database.dsn, "TERM": "xterm", "COLUMNS": "160"},
        cwd=PROJECT_ROOT,
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
    ) as process:
        try:
            os.close(theirs)
            shown, late = "", threading.Timer(120, process.kill)
            late.start()
            while shown.count("2 chunks waiting") < 2 and (more := _read(ours)):
                shown += more
            process.send_signal(number)
            while more := _read(ours):  # as it comes: a terminal that nobody reads stops whoever writes
                shown += more
            assert 0 == process.wait()
        finally:
            late.cancel()
            process.kill()
            os.close(ours)
    assert "\x1b[?25l" in shown
    assert shown.rindex("\x1b[?25h") > shown.rindex("\x1b[?25l")
    assert "\x1b[2J" not in shown  # drawn over, not wiped: that would flicker
    assert "Traceback" not in shown


def _read(terminal: int) -> str:
    try:
        return os.read(terminal, 65536).decode(errors="replace")
    except OSError:  # its other end is closed
        return ""
