"""What `chunk-sync up` keeps running: Dagster's code server, webserver and daemon over the database.

Not `dagster dev`: started side by side they are ready in two thirds of its time, with one process less,
and each is ours to restart.
"""

from __future__ import annotations

import json
import logging
import subprocess
import sys
import time
from collections import deque
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Self

import psutil

from chunk_sync.errors import ChunkSyncError, UsageError
from chunk_sync.local.database import Database, dagster_environment, database, embedded_database
from chunk_sync.local.ports import HOST, choose_private_port, choose_web_port, is_free
from chunk_sync.local.processes import session_members, start_child, stop_sessions, tail
from chunk_sync.local.signals import uninterrupted
from chunk_sync.local.state import FileLock, prepare_home, usable
from chunk_sync.local.webserver import definitions_loaded
from chunk_sync.settings import HOME, PROJECT_ROOT, Settings, environment

DEFINITIONS = "chunk_sync.definitions"
_LOCATION = "chunk_sync"
_RUN_STOP_SECONDS = 10.0
_STOP_SECONDS = 10.0
_LOG_BYTES = 20 << 20
_log = logging.getLogger(__name__)


class RestartLimit:
    """How often something may die: at most so many times a minute, with a pause that doubles."""

    _WINDOW_SECONDS = 60.0
    _FIRST_PAUSE_SECONDS = 0.5

    def __init__(self, deaths: int) -> None:
        self.deaths = deaths
        self._times: deque[float] = deque()

    def pause(self, now: float) -> float | None:
        """Count a death at `now`; the seconds to wait before the next start, None when it is hopeless."""
        while self._times and now - self._times[0] >= self._WINDOW_SECONDS:
            self._times.popleft()
        self._times.append(now)
        if len(self._times) > self.deaths:
            return None
        return self._FIRST_PAUSE_SECONDS * 2 ** (len(self._times) - 1)


class Service:
    """One process that is started again when it dies."""

    def __init__(
        self, name: str, command: Sequence[str], *, log: Path, environment: Mapping[str, str], cwd: Path
    ) -> None:
        self.name = name
        self.sessions: list[int] = []
        self._command = command
        self._log = log
        self._environment = environment
        self._cwd = cwd
        self._limit = RestartLimit(deaths=5)
        self._process: subprocess.Popen[bytes] | None = None
        self._start_at: float | None = None

    def start(self) -> None:
        """Start the process."""
        self._start_at = None
        self._process = start_child(self._command, log=self._log, environment=self._environment, cwd=self._cwd)
        self.sessions.append(self._process.pid)

    def check(self, now: float) -> bool:
        """Start it again when it died and its pause is over; True when it was started.

        `now` is a monotonic clock's time. Raises ChunkSyncError with the end of the log when it died too
        often.
        """
        if self._start_at is not None:
            if now < self._start_at:
                return False
            self.start()
            return True
        if self._process is None or (code := self._process.poll()) is None:
            self._trim_log()
            return False
        pause = self._limit.pause(now)
        if pause is None:
            message = f"the {self.name} does not stay up (exit code {code}); the end of {self._log}:\n{tail(self._log)}"
            raise ChunkSyncError(message)
        _log.warning("the %s ended with exit code %d: starting it again", self.name, code)
        self._start_at = now + pause
        return False

    def ended(self) -> bool:
        """Tell whether the process has ended and waits to be started again."""
        return self._start_at is not None

    def listens(self, port: int) -> bool:
        """Tell whether it is this process that listens on a port: another may have been faster to take it."""
        if self._process is None or self._process.poll() is not None:
            return False
        try:
            sockets = psutil.Process(self._process.pid).net_connections(kind="tcp4")
        except psutil.Error:
            return False
        return any(one.status == psutil.CONN_LISTEN and one.laddr.port == port for one in sockets)

    def give(self, command: Sequence[str]) -> None:
        """Change the command that the next start runs."""
        self._command = [sys.executable, "-m", *command]

    def reap(self) -> None:
        """Collect the exit code of a process that was stopped."""
        if self._process:
            self._process.wait()

    def _trim_log(self) -> None:
        # The file is open for appending in the child, which therefore goes on at the new end.
        if self._log.exists() and self._log.stat().st_size > _LOG_BYTES:
            self._log.with_suffix(".log.1").write_bytes(self._log.read_bytes())
            self._log.write_bytes(b"")


class Stack:
    """A context manager: inside, this is the one `up` of its state folder and the database runs.

    `start_services` adds Dagster; `check`, called a few times a second, keeps all of it alive. To be used
    from the main thread, whose end is what the children die of.
    """

    def __init__(self, settings: Settings, *, port: int | None, definitions: str = DEFINITIONS) -> None:
        self.settings = settings
        self.url = ""
        self._port = port
        self._definitions = definitions
        self._services: list[Service] = []
        self._deadman = False
        self._webserver: Service | None = None
        self._web_port = 0
        self._server_limit = RestartLimit(deaths=5)

    @property
    def dsn(self) -> str:
        """Our database, as an SQLAlchemy URL."""
        return self.database.dsn

    @property
    def dagster_dsn(self) -> str:
        """Dagster's database, as an SQLAlchemy URL."""
        return self.database.dagster_dsn

    def __enter__(self) -> Self:
        home = prepare_home(self.settings.home)
        with usable(home), ExitStack() as opened:
            self._lock = opened.enter_context(_only_one(home / "up.lock"))
            self.database: Database = opened.enter_context(database(self.settings))
            self._sweep()
            self._opened = opened.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with self._opened, uninterrupted():
            self._stop_services()

    def start_services(self, *, deadman: bool = False) -> None:
        """Start Dagster's three processes, side by side, and the dead-man's switch if wanted; returns at once."""
        home = self.settings.home
        self._deadman = self._deadman or deadman
        if not self.url:  # nobody knows it yet
            self._web_port = choose_web_port(self._port)
        grpc_port = choose_private_port()
        with usable(home):
            _write_workspace(self._workspace, grpc_port)
            self._logs.mkdir(exist_ok=True)
            self._webserver = self._service("webserver", _webserver(self._workspace, self._web_port))
            self._services = [
                self._service("code-server", _code_server(self._definitions, grpc_port)),
                self._webserver,
                self._service("daemon", _daemon(self._workspace)),
            ]
            if self._deadman:
                self._services.append(self._service("deadman", _deadman()))
            self._start_all()

    def ready(self) -> bool:
        """Ask once whether the web page answers with our definitions loaded.

        Raises ChunkSyncError when they do not load.
        """
        address = f"http://{HOST}:{self._web_port}"
        webserver = self._webserver
        if webserver is None or not webserver.listens(self._web_port) or not definitions_loaded(address):
            return False
        self.url = address
        self._lock.write(self.url)
        return True

    def check(self) -> None:
        """Start again what died. Raises ChunkSyncError when it keeps dying, with the end of its log."""
        with uninterrupted(), usable(self.settings.home):
            self._check_server()
            self._check_port()
            started = [service.check(time.monotonic()) for service in self._services]
            if any(started):
                self._note_sessions()

    @property
    def _workspace(self) -> Path:
        return self.settings.home / "workspace.yaml"

    @property
    def _logs(self) -> Path:
        return self.settings.home / "logs"

    @property
    def _noted_sessions(self) -> Path:
        return self.settings.home / "up.sessions"

    @property
    def _marks(self) -> dict[str, str]:
        return {HOME: str(self.settings.home), "DAGSTER_HOME": str(PROJECT_ROOT)}

    def _check_server(self) -> None:
        server = self.database.server
        if server is None or not server.revive():
            return
        if self._server_limit.pause(time.monotonic()) is None:
            message = f"PostgreSQL does not stay up; the end of {server.log}:\n{tail(server.log)}"
            raise ChunkSyncError(message)
        _log.warning("PostgreSQL had ended: started again")
        found = embedded_database(self.settings, server)
        if found.dsn != self.database.dsn:  # its port was taken: the services know the old one
            self.database = found
            self._stop_services()
            self.start_services()

    def _check_port(self) -> None:
        """Let the webserver try another port when somebody else took its own, unless a person knows that one."""
        webserver = self._webserver
        if webserver is None or self.url or self._port is not None or not webserver.ended():
            return
        if not is_free(self._web_port):
            self._web_port = choose_web_port(None)
            webserver.give(_webserver(self._workspace, self._web_port))

    def _service(self, name: str, command: Sequence[str]) -> Service:
        log = self._logs / f"{name}.log"
        if log.exists():
            log.rename(log.with_suffix(".log.1"))
        return Service(
            name,
            [sys.executable, "-m", *command],
            log=log,
            environment=environment() | {"PYTHONUNBUFFERED": "1"} | dagster_environment(self.settings, self.database),
            cwd=PROJECT_ROOT,
        )

    def _start_all(self) -> None:
        with uninterrupted():
            for service in self._services:
                service.start()
            self._note_sessions()

    def _note_sessions(self) -> None:
        """Leave word of what runs, for the next `up`, should we be killed."""
        self._noted_sessions.write_text(json.dumps([s for service in self._services for s in service.sessions]))

    def _stop_services(self) -> None:
        sessions = {session for service in self._services for session in service.sessions}
        if sessions:
            stop_sessions(sessions, self._marks, run_seconds=_RUN_STOP_SECONDS, seconds=_STOP_SECONDS)
        for service in self._services:
            service.reap()
        self._services = []
        self._noted_sessions.unlink(missing_ok=True)

    def _sweep(self) -> None:
        """Stop what an `up` that was killed left behind; it has the database for its last words."""
        try:
            sessions: list[int] = json.loads(self._noted_sessions.read_text())
        except (FileNotFoundError, ValueError):
            return
        if session_members(sessions, self._marks):
            _log.warning("an earlier `up` was killed: stopping what it left behind")
            stop_sessions(sessions, self._marks, run_seconds=_RUN_STOP_SECONDS, seconds=_STOP_SECONDS)
        self._noted_sessions.unlink(missing_ok=True)


class _OnlyOne(FileLock):
    def __enter__(self) -> Self:
        if not self.acquire(wait=False):
            message = f"already running: {self.read() or 'it is starting'}"
            raise UsageError(message)
        self.write("")
        return self


def _only_one(path: Path) -> FileLock:
    """Be the only `up` of a state folder; two daemons on one instance would fight."""
    return _OnlyOne(path)


def _write_workspace(path: Path, grpc_port: int) -> None:
    server = {"host": HOST, "port": grpc_port, "location_name": _LOCATION}
    path.write_text(json.dumps({"load_from": [{"grpc_server": server}]}))  # JSON is YAML


def _code_server(definitions: str, port: int) -> list[str]:
    # A code server of its own keeps the page's "Reload definitions".
    what = ["-m", definitions, "--location-name", _LOCATION]
    return ["dagster", "code-server", "start", *what, "-h", HOST, "-p", str(port), "--log-level", "warning"]


def _webserver(workspace: Path, port: int) -> list[str]:
    # It makes pools of its own; short-lived connections survive a restart of PostgreSQL.
    where = ["-w", str(workspace), "-h", HOST, "-p", str(port)]
    return ["dagster_webserver", *where, "--db-pool-recycle", "2", "--log-level", "warning"]


def _deadman() -> list[str]:
    return ["chunk_sync.cli.main", "deadman"]


def _daemon(workspace: Path) -> list[str]:
    return ["dagster._daemon", "run", "-w", str(workspace), "--log-level", "warning"]
