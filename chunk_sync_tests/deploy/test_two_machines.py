"""Two machines with a worker each, through a real Redis: what is killed is missed by nobody.

One installation serves all of these tests; each has a mailbox of its own. The oracle is the mail server: after each
story every message that it holds is stored once, byte for byte.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator
from contextlib import suppress
from functools import partial

import dagster as dg
import psutil
import pytest
from dagster import DagsterRunStatus, RunsFilter
from sqlalchemy import make_url

from chunk_sync.demo.mailbox import iter_messages
from chunk_sync.store.mailboxes import add_mailbox, request_sync
from chunk_sync_tests.deploy.machines import Machine, Machines
from chunk_sync_tests.e2e.sync_jobs import HALF_WAY
from chunk_sync_tests.e2e.test_daemon import partitions_told, served, stored
from chunk_sync_tests.postgres_plugin import PgServer, scratch_folder
from chunk_sync_tests.servers.dovecot import DovecotServer
from chunk_sync_tests.servers.process import DEFAULT_PASSWORD

pytestmark = pytest.mark.needs("redis", "dovecot")

MESSAGES = 1200
LEASE_SECONDS = 6
PASSWORD = "MAILBOX_PASSWORD"
VARIABLES = {
    PASSWORD: DEFAULT_PASSWORD,
    "CHUNK_SYNC_LEASE_SECONDS": str(LEASE_SECONDS),
    "CHUNK_SYNC_CHUNK_MESSAGES": "25",
    "CHUNK_SYNC_RUN_THREADS": "1",
}
PROCESS = re.compile(r"Started process for run \(pid: (\d+)\)")
PROCESSES = 2
"""Of a worker that is idle: Celery's own, and one for the next run."""
SYNCS = 5
"""What the tests before ask for: each has a plan, and some runs beside it, as many as the mailbox's pace makes."""
CONNECTIONS = 5
"""What a process keeps for its next run: our pool's."""
ONE_AT_A_TIME_EACH = {"--concurrency=2": "--concurrency=1"}
"""So that two runs are on two machines."""
_names = itertools.count(1)


@pytest.fixture(scope="module")
def machines(pg_server: PgServer, migrated_template: str, dagster_template: str) -> Iterator[Machines]:
    """Two workers with a short lease, small chunks and one thread a run, so that there is a half-way."""
    with (
        scratch_folder() as folder,
        pg_server.cloned(migrated_template) as dsn,
        pg_server.cloned(dagster_template) as dagster_dsn,
        Machines(folder, dsn, dagster_dsn, workers=2, variables=VARIABLES, changes=ONE_AT_A_TIME_EACH) as running,
    ):
        yield running


@pytest.fixture
def dovecot() -> Iterator[DovecotServer]:
    """A Dovecot with 1,200 messages in several folders."""
    with DovecotServer() as server:
        server.add_mailbox(iter_messages(MESSAGES, seed=next(_names), profile="small"))
        yield server


def ask(machines: Machines, server: DovecotServer) -> tuple[str, int]:
    """Connect the server's mailbox and ask for its sync; returns the mailbox's name and the job."""
    name = f"box{next(_names)}"
    add_mailbox(machines.database, name=name, address=server.address, provider="imap", credential=f"env:{PASSWORD}")
    return name, request_sync(machines.database, name).job_id


def instance_of(machines: Machines) -> dg.DagsterInstance:
    """Dagster's instance, as the machines have it."""
    with pytest.MonkeyPatch.context() as patch:
        for name, value in machines.head.env.items():
            patch.setenv(name, value)
        return dg.DagsterInstance.get()


@pytest.fixture(scope="module")
def dagster(machines: Machines) -> Iterator[dg.DagsterInstance]:
    """Dagster's instance, as the machines have it."""
    with instance_of(machines) as opened:
        yield opened


def run_processes(machine: Machine) -> list[psutil.Process]:
    """The processes of a worker that runs are run in."""
    child = machine.child("worker")
    return [process for process in child.members() if process.pid != child.process.pid]


def runs_at_work(machines: Machines) -> list[str]:
    """The ids of the runs that hold a lease now."""
    rows = machines.database.execute("SELECT run_id FROM workers WHERE ended_at IS NULL AND lease_until > clock()")
    return [row["run_id"] for row in rows if row["run_id"]]


def runs_within_a_chunk(machines: Machines, job_id: int) -> list[str]:
    """The ids of the runs that hold a chunk of a sync now."""
    rows = machines.database.execute(
        "SELECT DISTINCT w.run_id FROM chunk_processing_queue AS q INNER JOIN workers AS w ON w.id = q.worker_id"
        " WHERE q.sync_job_id = %s AND q.status = 'processing'",
        (job_id,),
    )
    return [row["run_id"] for row in rows]


def machines_of(machines: Machines, dagster: dg.DagsterInstance, runs: list[str]) -> list[Machine]:
    """The machines that these runs are on."""
    told = [dagster.all_logs(run, dg.DagsterEventType.ENGINE_EVENT) for run in runs]
    pids = {int(found[1]) for events in told for e in events if (found := PROCESS.search(e.message))}
    return [machine for machine in machines.workers if pids & {p.pid for p in run_processes(machine)}]


def check(machines: Machines, name: str, job_id: int, server: DovecotServer, seconds: float = 300) -> None:
    """Wait for the end of a sync; nothing is lost and nothing is doubled."""
    done = machines.wait_until_ended(job_id, seconds)
    assert ("completed", MESSAGES) == (done.status, done.emails_processed)
    assert served(server) == stored(machines, name)
    machines.wait_for(lambda: partitions_told(machines, job_id), 120, "report to Dagster")


def test_a_sync_is_shared_by_two_machines(
    machines: Machines, dagster: dg.DagsterInstance, dovecot: DovecotServer
) -> None:
    """Runs of one sync are at work on both machines at the same time."""
    with machines.stopped_half_way():
        name, job_id = ask(machines, dovecot)
        machines.wait_for(
            lambda: True if len(machines_of(machines, dagster, runs_at_work(machines))) == 2 else None,
            120,
            "run on each machine",
        )
    check(machines, name, job_id, dovecot)


def test_kill_9_of_a_machine_half_way(machines: Machines, dagster: dg.DagsterInstance, dovecot: DovecotServer) -> None:
    """A machine is lost with its worker and its runs: the other one finishes the job, without waiting for Dagster."""
    with machines.stopped_half_way() as half_way:
        name, job_id = ask(machines, dovecot)
        half_way(job_id)

        def held() -> Machine | None:
            return next(iter(machines_of(machines, dagster, runs_within_a_chunk(machines, job_id))), None)

        lost = machines.wait_for(held, 120, "run within a chunk")
        lost.kill()
    check(machines, name, job_id, dovecot)
    recovered = machines.database.execute(
        "SELECT count(*) AS n FROM audit_log WHERE action = 'stuck_chunk_reset' AND sync_job_id = %s", (job_id,)
    )
    assert 1 <= recovered[0]["n"]
    machines.start_worker(lost)
    machines.wait_until_ready(lost)


def test_kill_9_of_a_run_half_way(machines: Machines, dagster: dg.DagsterInstance, dovecot: DovecotServer) -> None:
    """A run's process dies: its worker goes on with another one, and Dagster knows that the run has failed."""
    with machines.stopped_half_way() as half_way:
        name, job_id = ask(machines, dovecot)
        half_way(job_id)

        def at_work() -> list[Machine] | None:
            return machines_of(machines, dagster, runs_at_work(machines)) or None

        (struck, *_) = machines.wait_for(at_work, 120, "run")
        before = runs_at_work(machines)
        for process in run_processes(struck):
            with suppress(psutil.NoSuchProcess):
                process.kill()
    check(machines, name, job_id, dovecot)
    failed = RunsFilter(run_ids=before, statuses=[DagsterRunStatus.FAILURE])
    machines.wait_for(lambda: True if dagster.get_runs(failed) else None, 120, "failed run")
    machines.wait_for(lambda: True if run_processes(struck) else None, 120, "process for the next run")


def test_kill_9_of_the_broker_half_way(machines: Machines, dagster: dg.DagsterInstance, dovecot: DovecotServer) -> None:
    """Runs at work do not need the broker; when it is back, the machines take new ones."""
    with machines.stopped_half_way() as half_way:
        name, job_id = ask(machines, dovecot)
        half_way(job_id)
        machines.broker.kill()
    machines.wait_for(lambda: True if machines.job(job_id).completed_chunks >= HALF_WAY + 2 else None, 120, "progress")
    machines.broker.start()
    check(machines, name, job_id, dovecot)
    new, job_id = ask(machines, dovecot)
    check(machines, new, job_id, dovecot)


def test_a_worker_gives_back_what_its_runs_took(machines: Machines, dagster: dg.DagsterInstance) -> None:
    """After its runs a worker holds no lease, none of a run's processes, and no more connections than one run needs."""
    machines.wait_for(lambda: None if runs_at_work(machines) else True, 120, "end of all runs")
    assert SYNCS <= dagster.get_runs_count(RunsFilter(statuses=[DagsterRunStatus.SUCCESS]))
    port = make_url(machines.database.dsn).port

    def idle(machine: Machine) -> bool | None:
        members = machine.child("worker").members()
        with suppress(psutil.NoSuchProcess):
            held = [c for p in members for c in p.net_connections(kind="tcp") if c.raddr and c.raddr.port == port]
            return True if len(members) == PROCESSES and len(held) <= CONNECTIONS else None
        return None

    for machine in machines.workers:
        machines.wait_for(partial(idle, machine), 120, "idle worker")
