"""Dagster's own commands over an installation, without `up`: by hand, in separate processes, and read-only.

One installation serves all of these tests, one after another.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import psutil
import pytest

from chunk_sync.demo.maildir import demo_maildir
from chunk_sync.local.database import database
from chunk_sync.local.ports import choose_private_port
from chunk_sync.local.processes import start_child
from chunk_sync.local.webserver import definitions_loaded
from chunk_sync.settings import PROJECT_ROOT, Settings, environment
from chunk_sync.store.database import Database
from chunk_sync.store.mailboxes import request_sync
from chunk_sync.store.status import job_statuses
from chunk_sync_tests.e2e.installation import START_SECONDS, run_cli
from chunk_sync_tests.postgres_plugin import scratch_folder

T = TypeVar("T")
BIN = Path(sys.executable).parent
MESSAGES = 60
STOP_SECONDS = 150.0  # a code server gives calls that are on their way 60
TERMINATE = 'mutation { terminateRun(runId: "none") { __typename } }'
ASSETS = "{ assetNodes { assetKey { path } groupName } }"


@dataclass
class ByHand:
    """An installation without `up`: its database, the environment that `env` prints, processes that were started."""

    home: Path
    database: Database
    environment: dict[str, str]
    workspace: Path

    def run(self, *words: str) -> subprocess.CompletedProcess[str]:
        """Run one of the environment's programs to its end."""
        return subprocess.run(
            [str(BIN / words[0]), *words[1:]],
            env=self.environment,
            cwd=PROJECT_ROOT,
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )

    @contextmanager
    def running(self, *words: str) -> Iterator[subprocess.Popen[bytes]]:
        """Keep a program running; Ctrl-C ends it, and nothing of it is left."""
        log = self.home / f"{words[0]}-{time.monotonic_ns()}.log"
        process = start_child(
            [str(BIN / words[0]), *words[1:]], log=log, environment=self.environment, cwd=PROJECT_ROOT
        )
        try:
            yield process
            assert process.poll() is None, log.read_text()
            family = [psutil.Process(process.pid), *psutil.Process(process.pid).children(recursive=True)]
            process.send_signal(signal.SIGINT)
            process.wait(timeout=STOP_SECONDS)
            _, left = psutil.wait_procs(family, timeout=60)
            assert [] == left, log.read_text()
        finally:
            for one in session(process.pid):
                with suppress(psutil.Error):
                    one.kill()
            process.wait()

    def sync(self, seconds: float = 300) -> str:
        """Ask for a sync and wait for its end; its status."""
        job_id = request_sync(self.database, "box").job_id

        def ended() -> str | None:
            status = job_statuses(self.database, job_ids=[job_id])[0]
            return None if status.open else status.status

        return wait_for(ended, seconds, f"end of job {job_id}")


def wait_for(look: Callable[[], T | None], seconds: float, what: str) -> T:
    """Look again and again until there is something."""
    deadline = time.monotonic() + seconds
    while (found := look()) is None:
        assert time.monotonic() < deadline, f"no {what}"
        time.sleep(0.2)
    return found


def session(leader: int) -> list[psutil.Process]:
    """Find what lives of a session."""
    found: list[psutil.Process] = []
    for process in psutil.process_iter():
        with suppress(OSError, psutil.Error):
            if os.getsid(process.pid) == leader and process.status() != psutil.STATUS_ZOMBIE:
                found.append(process)
    return found


def words_of(processes: Sequence[psutil.Process]) -> Iterator[str]:
    """Give the words of their commands; a run may have ended meanwhile."""
    for one in processes:
        with suppress(psutil.Error):
            yield from one.cmdline()


def ask(port: int, query: str) -> dict[str, Any]:
    """Ask a webserver over GraphQL."""
    body = json.dumps({"query": query}).encode()
    request = urllib.request.Request(f"http://127.0.0.1:{port}/graphql", body, {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=60) as response:
        answer: dict[str, Any] = json.load(response)
    assert "errors" not in answer, answer
    return answer["data"]


def serves(port: int) -> bool | None:
    """Tell whether a webserver shows our definitions; None: not yet."""
    return definitions_loaded(f"http://127.0.0.1:{port}", timeout=60) or None


def exports(text: str) -> dict[str, str]:
    """Have a shell evaluate what `env` prints, as the documents say; what it set."""
    done = subprocess.run(
        ["sh", "-c", 'eval "$1"; exec env -0', "sh", text],
        env=environment(),
        capture_output=True,
        text=True,
        check=True,
    )
    return dict(line.split("=", 1) for line in done.stdout.split("\0") if line)


@pytest.fixture(scope="module")
def by_hand() -> Iterator[ByHand]:
    """Connect a mailbox; the embedded server is kept as a `psql` in another terminal would keep it."""
    with scratch_folder() as folder, ExitStack() as stack:
        home = folder / "home"
        place = stack.enter_context(database(Settings.read({"CHUNK_SYNC_HOME": str(home)})))
        told = run_cli(home, "env")
        assert 0 == told.returncode, told.stderr
        demo_maildir(folder / "mail", MESSAGES)
        added = run_cli(home, "mailbox", "add", f"maildir:{folder / 'mail'}", "--name", "box")
        assert 0 == added.returncode, added.stderr
        workspace = folder / "workspace.yaml"
        yield ByHand(home, stack.enter_context(Database(place.dsn)), exports(told.stdout), workspace)


def test_instance_migrate(by_hand: ByHand) -> None:
    """`dagster instance migrate` makes the tables of a new installation, and finds nothing to do the second time.

    All tests after this one work on what it left.
    """
    for _ in range(2):
        done = by_hand.run("dagster", "instance", "migrate")
        assert 0 == done.returncode, done.stderr
    told = by_hand.run("dagster", "instance", "info")
    assert (0, True) == (told.returncode, f"{PROJECT_ROOT}" in told.stdout), told.stdout + told.stderr


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("dagster", "definitions", "validate", "-w", "workspace.yaml"), "Validation successful"),
        (("dg", "check", "defs"), "loaded successfully"),
        (("dg", "list", "defs", "--json"), '"due_chunks"'),
    ],
    ids=lambda words: " ".join(words[:3]) if isinstance(words, tuple) else "",
)
def test_checks_of_dagster_itself(by_hand: ByHand, words: Sequence[str], said: str) -> None:
    """Dagster's own commands find the project where Dagster users look for it, and load it."""
    done = by_hand.run(*words)
    assert (0, True) == (done.returncode, said in done.stdout + done.stderr), done.stdout + done.stderr


def test_separate_processes_and_a_read_only_page(by_hand: ByHand) -> None:
    """Code server, daemon and webserver started apart sync a mailbox; a read-only page shows and changes nothing.

    Runs are forked from a process that has imported everything.
    """
    grpc, readonly = choose_private_port(), choose_private_port()
    where = {"host": "127.0.0.1", "port": grpc, "location_name": "chunk_sync"}
    by_hand.workspace.write_text(json.dumps({"load_from": [{"grpc_server": where}]}))
    code = ("-m", "chunk_sync.definitions", "--location-name", "chunk_sync", "-h", "127.0.0.1", "-p", str(grpc))
    page = ("-w", str(by_hand.workspace), "-h", "127.0.0.1")
    with (
        by_hand.running("dagster", "code-server", "start", *code) as server,
        by_hand.running("dagster-webserver", *page, "-p", str(readonly), "--read-only"),
        by_hand.running("dagster-daemon", "run", "-w", str(by_hand.workspace)),
    ):
        wait_for(lambda: serves(readonly), START_SECONDS, "page")
        assert "completed" == by_hand.sync()
        assert any("multiprocessing.forkserver" in word for word in words_of(session(server.pid)))
        shown = {node["assetKey"]["path"][0] for node in ask(readonly, ASSETS)["assetNodes"]}
        assert {"synced_emails", "queue_health"} <= shown
        assert "UnauthorizedError" == ask(readonly, TERMINATE)["terminateRun"]["__typename"]


def test_dagster_dev(by_hand: ByHand) -> None:
    """`dagster dev` alone does everything: the page, the daemon, a sync to its end; Ctrl-C ends all of it.

    Its page may change things: what is refused on the read-only one is done, or not found.
    """
    port = choose_private_port()
    with by_hand.running("dagster", "dev", "-h", "127.0.0.1", "-p", str(port)):
        wait_for(lambda: serves(port), START_SECONDS, "page")
        assert "completed" == by_hand.sync()
        assert "RunNotFoundError" == ask(port, TERMINATE)["terminateRun"]["__typename"]
