"""Machines under test: each a folder and an environment of its own, sharing nothing but PostgreSQL and the broker.

What they run are the commands of deploy/compose.yaml, on loopback.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Self, TypeVar

import psutil
import yaml

from chunk_sync.local.dsn import app_url, dagster_own_url
from chunk_sync.local.ports import choose_private_port
from chunk_sync.local.processes import start_child
from chunk_sync.settings import DAGSTER_DSN, DSN, HOME, PROJECT_ROOT, RUN_SLOTS, STATE, environment
from chunk_sync.store.database import Database
from chunk_sync_tests.e2e.sync_jobs import SyncJobs
from chunk_sync_tests.servers.process import HOST

T = TypeVar("T")
DEPLOY = PROJECT_ROOT / "deploy"
START_SECONDS = 240.0
STOP_SECONDS = 30.0
_BIN = Path(sys.executable).parent


def compose() -> dict[str, Any]:
    """Read the compose file."""
    return yaml.safe_load((DEPLOY / "compose.yaml").read_text("utf-8"))


def instance_yaml(*, celery: bool = True) -> str:
    """Write the dagster.yaml of every machine, as deploy/Dockerfile does; without Celery it is that of one machine."""
    files = [PROJECT_ROOT / "dagster.yaml", *([DEPLOY / "run_launcher.yaml"] if celery else [])]
    return "".join(file.read_text("utf-8") for file in files)


class Child:
    """A process that leads a session of its own, with its log; it goes when the tests go."""

    def __init__(self, command: Sequence[str], *, env: Mapping[str, str], cwd: Path, log: Path) -> None:
        self.log = log
        self.process = start_child(command, log=log, environment=env, cwd=cwd)

    def members(self) -> list[psutil.Process]:
        """Every living process of its session."""
        found: list[psutil.Process] = []
        for process in psutil.process_iter():
            with contextlib.suppress(psutil.Error, ProcessLookupError):
                if os.getsid(process.pid) == self.process.pid and process.status() != psutil.STATUS_ZOMBIE:
                    found.append(process)
        return found

    def kill(self) -> None:
        """Kill the whole session at once, as the loss of a machine would."""
        for process in self.members():
            with contextlib.suppress(psutil.Error):
                process.kill()
        self.process.wait()

    def stop(self, seconds: float = STOP_SECONDS) -> int:
        """Ask it to end; what does not end in time is killed. Returns its exit code."""
        self.process.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.process.wait(seconds)
        self.kill()
        return self.process.returncode


class Broker:
    """A Redis that keeps what it was told, on a port that stays the same."""

    def __init__(self, folder: Path) -> None:
        self.port = choose_private_port()
        self.url = f"redis://{HOST}:{self.port}/0"
        self._folder = folder
        self._child: Child | None = None

    def start(self) -> None:
        """Start it and wait until it answers."""
        words = compose()["services"]["redis"]["command"]
        self._folder.mkdir(exist_ok=True)
        where = ["--bind", HOST, "--port", str(self.port), "--dir", str(self._folder)]
        self._child = Child([*words, *where], env=environment(), cwd=self._folder, log=self._folder / "redis.log")
        wait_for(lambda: True if self._answers() else None, START_SECONDS, "answer of Redis")

    def kill(self) -> None:
        """End it with SIGKILL."""
        if self._child is not None:
            self._child.kill()

    def _answers(self) -> bool:
        asked = ["redis-cli", "-h", HOST, "-p", str(self.port), "ping"]
        return subprocess.run(asked, capture_output=True, check=False).stdout.strip() == b"PONG"


class Machine:
    """A machine: its folder, its environment, the services on it."""

    def __init__(self, name: str, folder: Path, variables: Mapping[str, str], *, celery: bool = True) -> None:
        self.name = name
        self.folder = folder / name
        (self.folder / "dagster").mkdir(parents=True)
        (self.folder / "dagster" / "dagster.yaml").write_text(instance_yaml(celery=celery))
        self.env = {
            HOME: str(self.folder / "home"),
            STATE: str(self.folder / "state"),
            "DAGSTER_HOME": str(self.folder / "dagster"),
            "DAGSTER_DISABLE_TELEMETRY": "yes",
            "PYTHONUNBUFFERED": "1",
            **variables,
        }
        self._children: dict[str, Child] = {}

    def start(self, service: str, changes: Mapping[str, str]) -> Child:
        """Start a service of the compose file; `changes` are words of its command that are others here."""
        words = [str(word) for word in compose()["services"][service]["command"]]
        words = [changes.get(word, word).replace("%h", self.name) for word in words]
        words[0] = str(_BIN / words[0])
        log = self.folder / f"{service}.log"
        child = Child(words, env=environment() | self.env, cwd=self.folder, log=log)
        self._children[service] = child
        return child

    def child(self, service: str) -> Child:
        """Find a service that was started."""
        return self._children[service]

    def processes(self) -> list[psutil.Process]:
        """Every living process of its services."""
        return [process for child in self._children.values() for process in child.members()]

    def kill(self) -> None:
        """Lose the machine: all that it runs is killed."""
        for child in self._children.values():
            child.kill()

    def stop(self) -> None:
        """Stop all that it runs."""
        for child in self._children.values():
            child.process.send_signal(signal.SIGTERM)
        for child in self._children.values():
            child.stop()

    def output(self) -> str:
        """The ends of its logs."""
        tails = (f"{child.log}:\n{child.log.read_text(errors='replace')[-4000:]}" for child in self._children.values())
        return "\n".join(tails)


class Machines(SyncJobs):
    """A context manager: the machine with Dagster's services, one with the broker, and so many with a worker.

    Without workers there is no broker, and runs are processes of the first machine. `changes`: words of the commands
    that are others here.
    """

    def __init__(
        self,
        folder: Path,
        dsn: str,
        dagster_dsn: str,
        *,
        workers: int,
        variables: Mapping[str, str] | None = None,
        services: Sequence[str] = ("code-server", "daemon"),
        changes: Mapping[str, str] | None = None,
    ) -> None:
        self.folder = folder
        self.broker = Broker(folder / "broker")
        self.database = Database(app_url(dsn))
        self.web_port = choose_private_port()
        self._services = services
        self._changes = dict(changes or {})
        self._variables = {
            DSN: app_url(dsn),
            DAGSTER_DSN: dagster_own_url(dagster_dsn),
            RUN_SLOTS: "4",
            "CELERY_BROKER_URL": self.broker.url,
            "CELERY_RESULT_BACKEND": self.broker.url,
            **(variables or {}),
        }
        self.head = Machine("head", folder, self._variables, celery=workers > 0)
        self.workers = [Machine(f"host-{number}", folder, self._variables) for number in range(1, workers + 1)]

    def __enter__(self) -> Self:
        try:
            if self.workers:
                self.broker.start()
            self._start_head()
            for machine in self.workers:
                self.start_worker(machine)
            for machine in self.workers:
                self.wait_until_ready(machine)
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *exc: object) -> None:
        for machine in [self.head, *self.workers]:
            machine.stop()
        self.broker.kill()
        self.database.close()

    def start_worker(self, machine: Machine) -> None:
        """Start the worker of a machine."""
        machine.start("worker", self._changes)

    def wait_for(self, look: Callable[[], T | None], seconds: float, what: str) -> T:
        """Look again and again until there is something; fails with the logs when time is over."""
        try:
            return wait_for(look, seconds, what)
        except AssertionError as error:
            logs = "\n".join(machine.output() for machine in [self.head, *self.workers])
            message = f"{error}; the logs end with\n{logs}"
            raise AssertionError(message) from None

    def wait_until_ready(self, machine: Machine) -> None:
        """Wait until a machine's worker takes tasks."""
        log = machine.child("worker").log
        self.wait_for(lambda: True if " ready." in log.read_text(errors="replace") else None, START_SECONDS, "worker")

    def _start_head(self) -> None:
        port = str(choose_private_port())
        described = yaml.safe_load((DEPLOY / "workspace.yaml").read_text("utf-8"))
        server = described["load_from"][0]["grpc_server"]
        ours = {"load_from": [{"grpc_server": {**server, "host": HOST, "port": int(port)}}]}
        workspace = self.head.folder / "workspace.yaml"
        workspace.write_text(yaml.safe_dump(ours))
        here = {
            str(server["port"]): port,
            "3000": str(self.web_port),
            "0.0.0.0": HOST,
            "/opt/chunk-sync/deploy/workspace.yaml": str(workspace),
        }
        for service in self._services:
            self.head.start(service, here | self._changes)


def wait_for(look: Callable[[], T | None], seconds: float, what: str) -> T:
    """Look again and again until there is something."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if (found := look()) is not None:
            return found
        time.sleep(0.1)
    message = f"no {what} within {seconds:.0f} s"
    raise AssertionError(message)
