"""The embedded PostgreSQL: one server in the state folder, shared by our processes.

base/                       <home>/postgres; for root below a private folder a link into /var/lib/chunk-sync
├── data                    the cluster; made as data.new.<pid> and renamed, so that it is whole or absent
├── password port           of the two roles; kept, so that the URL stays the same
├── users.lock start.lock   see below
└── postgres.log

Who uses the server holds `users.lock` shared; who starts or stops it holds `start.lock`. The last user out
stops it. Both are flocks: a killed user counts as gone, and the next one finds the server, dead or alive.
"""

from __future__ import annotations

import os
import secrets
import shutil
import signal
import subprocess
import time
from pathlib import Path
from types import TracebackType
from typing import Self

import psutil

from chunk_sync.errors import ChunkSyncError, UsageError
from chunk_sync.local import pg_cluster
from chunk_sync.local.dsn import local_url
from chunk_sync.local.pg_binaries import (
    Binaries,
    can_walk_to,
    find_binaries,
    readable_binaries,
    run_as,
    server_owner,
)
from chunk_sync.local.ports import choose_private_port, is_free
from chunk_sync.local.signals import uninterrupted
from chunk_sync.local.state import FileLock, usable

APP_DATABASE = "chunk_sync"
DAGSTER_DATABASE = "dagster"
_ROOTS_PLACE = Path("/var/lib/chunk-sync")
_POLL_SECONDS = 0.02
# Crash recovery reads back up to max_wal_size (1 GB) of log, on a slow disk too.
_START_SECONDS = 300.0
_STOP_SECONDS = 30.0
# After kill -9 the server's children keep its shared memory for 1-2 s, more under load.
_START_TRIES = 60
_RETRY_SECONDS = 0.25
_LOG_BYTES = 10 << 20
# Kept while they run: ours may go on after us, and Python warns when it forgets a child that runs.
_children: list[subprocess.Popen[bytes]] = []


class EmbeddedPostgres:
    """A context manager: inside, the server runs and `url` names its databases."""

    def __init__(self, base: Path, *, pg_bin: str | None = None, test: bool = False) -> None:
        """Prepare; nothing is touched yet. `test` gives up durability for speed."""
        self.base = base
        self.port = 0
        self._pg_bin = pg_bin
        self._test = test
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def data(self) -> Path:
        """The cluster's folder."""
        return self.base / "data"

    @property
    def log(self) -> Path:
        """The server's log file."""
        return self.base / "postgres.log"

    @property
    def psql(self) -> Path | None:
        """The client that came with the server, when there is one."""
        beside = self._binaries.folder / "psql"
        found = str(beside) if beside.exists() else shutil.which("psql")
        return Path(found) if found else None

    def url(self, database: str = APP_DATABASE, *, role: str = pg_cluster.OWNER) -> str:
        """Name a database as a plain URL, with its password."""
        return local_url(role, (self.base / "password").read_text(), self.port, database)

    def __enter__(self) -> Self:
        with uninterrupted(), usable(self.base):
            self._settle()
            self._users = FileLock(self.base / "users.lock")
            with FileLock(self.base / "start.lock"):
                self._users.acquire(shared=True)
                try:
                    self._make_cluster()
                    self._start()
                except BaseException:
                    self._users.release()
                    raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with uninterrupted(), usable(self.base):
            with FileLock(self.base / "start.lock"):
                if self._users.acquire(wait=False):  # we were the last
                    self.stop()
            self._users.release()
        _children[:] = [child for child in _children if child.poll() is None]

    def revive(self) -> bool:
        """Start the server again if it died; True when it had. The port stays unless somebody took it."""
        if self._server():
            return False
        with uninterrupted(), usable(self.base), FileLock(self.base / "start.lock"):
            self._start()
        return True

    def stop(self) -> None:
        """Stop the server and wait; clients are disconnected."""
        if not (server := self._server()):
            return
        server.send_signal(signal.SIGINT)  # "fast": ends sessions, writes a checkpoint
        if not self._gone_within(_STOP_SECONDS):
            server.send_signal(signal.SIGQUIT)  # "immediate": the next start recovers
            self._gone_within(_STOP_SECONDS)

    def _settle(self) -> None:
        """Decide where the files lie, whom the server runs as and which programs it is made of."""
        self._binaries: Binaries = find_binaries(self._pg_bin)
        self._programs = self._binaries
        self._owner = server_owner(self.data)
        self._run_as = run_as(self._owner)
        if self._owner and not self.base.exists() and not can_walk_to(self.base.parent, self._owner.pw_uid):
            self._move_out()
        self.base = self.base.resolve()
        self.base.mkdir(mode=0o711 if self._owner else 0o700, parents=True, exist_ok=True)
        if self._owner:
            self._programs = readable_binaries(self._binaries, self._owner, self.base / "binaries")

    def _move_out(self) -> None:
        """Let the base be a link to a folder that the server's user reaches: the state folder is below /root.

        Not /var/tmp, which some systems sweep. The name is new each time, because who removes the state
        folder wants an empty database; the old one stays until it is removed by hand.
        """
        if not self.base.is_symlink():
            _ROOTS_PLACE.mkdir(mode=0o711, parents=True, exist_ok=True)
            place = _ROOTS_PLACE / f"{self.base.parent.parent.name}-{secrets.token_hex(4)}"
            self.base.parent.mkdir(mode=0o711, parents=True, exist_ok=True)
            self.base.symlink_to(place)
        self.base.resolve().mkdir(mode=0o711, parents=True, exist_ok=True)

    def _make_cluster(self) -> None:
        version_file = self.data / "PG_VERSION"
        if version_file.exists():
            major = int(version_file.read_text())
            if major != self._binaries.major:
                message = (
                    f"{self.data} was made by PostgreSQL {major}, {self._binaries.folder} holds "
                    f"{self._binaries.version}: name PostgreSQL {major}'s programs in CHUNK_SYNC_PG_BIN "
                    "to dump it, or remove the folder to start anew"
                )
                raise UsageError(message)
            return
        for unfinished in self.base.glob("data.new.*"):
            shutil.rmtree(unfinished)
        new = self.base / f"data.new.{os.getpid()}"
        new.mkdir(mode=0o700)
        password = self.base / "password"
        password.unlink(missing_ok=True)
        with os.fdopen(os.open(password, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
            file.write(secrets.token_hex(16))
        if self._owner:
            for path in (new, password):
                os.chown(path, self._owner.pw_uid, self._owner.pw_gid)
        try:
            pg_cluster.create(
                self._programs, new, password, databases=(APP_DATABASE, DAGSTER_DATABASE), user=self._run_as
            )
        except BaseException:
            shutil.rmtree(new, ignore_errors=True)
            raise
        new.rename(self.data)

    def _start(self) -> None:
        for _ in range(_START_TRIES):
            server = self._server()
            if server and self._await_ready(server):
                return
            if not self._is_clear():
                time.sleep(_RETRY_SECONDS)
                continue
            complaint = self._try_to_start()
            if complaint is None:
                return
            if "could not create any TCP/IP sockets" not in complaint:  # somebody was quicker: another port
                message = f"PostgreSQL does not start: {complaint} (see {self.log})"
                raise UsageError(message)
        message = f"PostgreSQL does not start: old processes of it in {self.data} do not end"
        raise UsageError(message)

    def _is_clear(self) -> bool:
        """Tell whether no process of a killed server is left, and remove its pid file.

        PostgreSQL itself would refuse a pid file whose number is now a stranger's, or a zombie's that
        nobody collects (in a container). All of its processes work in the data folder.
        """
        for process in psutil.process_iter():
            try:
                if Path(process.cwd()) == self.data:
                    return False
            except psutil.Error:  # gone, a zombie, or another user's
                continue
        (self.data / "postmaster.pid").unlink(missing_ok=True)
        return True

    def _try_to_start(self) -> str | None:
        """Start the server; None when it is ready, else its complaint."""
        if self.log.exists() and self.log.stat().st_size > _LOG_BYTES:
            self.log.rename(self.log.with_suffix(".log.1"))
        command = pg_cluster.server_command(self._programs, self.data, self._choose_port(), test=self._test)
        with self.log.open("ab") as log:
            seen = log.tell()
            # A session of its own: Ctrl-C in the terminal must not reach a server that others use.
            process = subprocess.Popen(  # noqa: S603 - the programs that we chose
                command,
                env=pg_cluster.server_environment(self.base),
                cwd="/",
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
                **self._run_as,
            )
        self._process = process
        _children.append(process)
        if self._await_ready(psutil.Process(process.pid)):
            return None
        process.wait()
        with self.log.open("rb") as log:
            log.seek(seen)
            return pg_cluster.complaint(log.read().decode(errors="replace"))

    def _await_ready(self, server: psutil.Process) -> bool:
        """Wait until the server takes connections, and note its port; False when it ended instead."""
        deadline = time.monotonic() + _START_SECONDS
        while time.monotonic() < deadline:
            lines = self._pid_file()
            if len(lines) > pg_cluster.PID_FILE_STATUS and int(lines[0]) == server.pid:
                self.port = int(lines[pg_cluster.PID_FILE_PORT])
                if lines[pg_cluster.PID_FILE_STATUS].strip() == "ready":
                    return True
            if not _runs(server):
                return False
            time.sleep(_POLL_SECONDS)
        message = f"PostgreSQL is not ready after {_START_SECONDS:.0f} s: see {self.log}"
        raise ChunkSyncError(message)

    def _choose_port(self) -> int:
        """Choose the port of last time, or a new one when it is taken."""
        kept = self.base / "port"
        try:
            port = int(kept.read_text())
        except (FileNotFoundError, ValueError):
            port = 0
        if not port or not is_free(port):
            port = choose_private_port()
            kept.write_text(str(port))
        return port

    def _pid_file(self) -> list[str]:
        try:
            return (self.data / "postmaster.pid").read_text().splitlines()
        except FileNotFoundError:
            return []

    def _server(self) -> psutil.Process | None:
        """Find the running server; a leftover pid file, or its number in another's hands, is none."""
        if self._process:
            self._process.poll()  # a child that died must not stay as a zombie
        lines = self._pid_file()
        if not lines:
            return None
        try:
            process = psutil.Process(int(lines[0]))
            ours = str(self.data) in process.cmdline()
        except psutil.Error:
            return None
        return process if ours and _runs(process) else None

    def _gone_within(self, seconds: float) -> bool:
        deadline = time.monotonic() + seconds
        while self._server():
            if time.monotonic() > deadline:
                return False
            time.sleep(_POLL_SECONDS)
        if self._process:
            self._process.wait()
        return True


def _runs(process: psutil.Process) -> bool:
    try:
        return process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False
