"""A whole installation under test: `up` as a process of its own, driven as a user drives it."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Self, TypeVar

import psutil

from chunk_sync.local.processes import run_workers
from chunk_sync.settings import HOME, PROJECT_ROOT, environment
from chunk_sync.store.database import Database
from chunk_sync_tests.e2e.sync_jobs import SyncJobs

T = TypeVar("T")
COMMAND = (sys.executable, "-P", "-m", "chunk_sync.cli.main")
START_SECONDS = 240.0
STOP_SECONDS = 150.0
"""More than all the patience that `up` has with what it stops."""


def run_cli(
    home: Path, *words: str, variables: Mapping[str, str] | None = None, stdin: str | None = None
) -> subprocess.CompletedProcess[str]:
    """Run one command to its end."""
    return subprocess.run(
        [*COMMAND, *words],
        env=environment() | {HOME: str(home)} | dict(variables or {}),
        cwd=PROJECT_ROOT,
        capture_output=True,
        text=True,
        input=stdin,
        stdin=subprocess.DEVNULL if stdin is None else None,
        timeout=300,
        check=False,
    )


class Installation(SyncJobs):
    """`up` in a folder of its own, until the context ends; then nothing of it is left."""

    def __init__(self, home: Path, variables: Mapping[str, str] | None = None, words: Sequence[str] = ()) -> None:
        self.home = home
        self.log = home.with_name(home.name + ".up.log")
        self._variables = dict(variables or {})
        self._words = words
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        try:
            self.start()
        except BaseException:
            self.kill()
            for process in self.processes():
                with contextlib.suppress(psutil.Error):
                    process.kill()
            raise
        return self

    def __exit__(self, *exc: object) -> None:
        self.database.close()
        self.stop(signal.SIGTERM)

    def start(self) -> None:
        """Start `up` and wait until it says its address."""
        with self.log.open("wb") as log:
            self._process = subprocess.Popen(
                [*COMMAND, "up", *self._words],
                env=environment() | {HOME: str(self.home)} | self._variables,
                cwd=PROJECT_ROOT,
                stdout=log,
                stderr=subprocess.STDOUT,
                stdin=subprocess.DEVNULL,
                start_new_session=True,
            )
        self.wait_for(lambda: " is up" in self.output() or None, START_SECONDS, "the UI's address")
        self.database = Database(self.cli("dsn").stdout.strip())

    def stop(self, number: signal.Signals) -> int:
        """End `up` with a signal; its exit code. Fails when a process of it is left, which is then killed."""
        assert self._process is not None
        self._process.send_signal(number)
        try:
            code = self._process.wait(timeout=STOP_SECONDS)
        finally:
            left = self.processes()
            for process in left:
                with contextlib.suppress(psutil.Error):
                    process.kill()
        assert [] == [str(process) for process in left]
        return code

    def kill(self) -> None:
        """End `up` itself with SIGKILL; its children are left to find out."""
        assert self._process is not None
        self._process.kill()
        self._process.wait()

    def output(self) -> str:
        """What `up` has printed."""
        return self.log.read_text(errors="replace")

    def cli(self, *words: str, variables: Mapping[str, str] | None = None) -> subprocess.CompletedProcess[str]:
        """Run another command of the same installation."""
        return run_cli(self.home, *words, variables=self._variables | dict(variables or {}))

    def wait_for(self, look: Callable[[], T | None], seconds: float, what: str) -> T:
        """Look again and again until there is something; fails with the log when `up` ends or time is over."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            found = look()
            if found is not None:
                return found
            assert self._process is not None
            if self._process.poll() is not None:
                break
            time.sleep(0.1)
        raise AssertionError(f"no {what}; up printed:\n{self.output()}")

    def processes(self) -> list[psutil.Process]:
        """Every living process that belongs to this state folder."""
        found: list[psutil.Process] = []
        for process in psutil.process_iter():
            with contextlib.suppress(psutil.Error):
                if process.environ().get(HOME) == str(self.home) or str(self.home) in " ".join(process.cmdline()):
                    found.append(process)
        return [p for p in found if p.pid != os.getpid() and p.status() != psutil.STATUS_ZOMBIE]

    def run_workers(self) -> list[psutil.Process]:
        """The processes that run Dagster's runs."""
        return run_workers(self.processes())

    def postgres(self) -> list[psutil.Process]:
        """The embedded server's processes."""
        port = self.home / "postgres" / "port"
        assert port.exists()
        return [p for p in psutil.process_iter() if _is_postgres(p, self.home)]


def _is_postgres(process: psutil.Process, home: Path) -> bool:
    with contextlib.suppress(psutil.Error):
        words = process.cmdline()
        return bool(words) and "postgres" in words[0] and str(home) in " ".join(words)
    return False
