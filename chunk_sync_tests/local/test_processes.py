"""Children that go when we go, and are stopped with all that they started."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from chunk_sync.local.processes import session_members, start_child, stop_sessions, tail
from chunk_sync.settings import PROJECT_ROOT, environment
from chunk_sync_tests.servers.process import wait_until

FAKE = [sys.executable, "-m", "chunk_sync_tests.local.fake_service"]
MARKS = {"CHUNK_SYNC_TEST_MARK": str(os.getpid())}
SHORT, LONG = 0.2, 60.0
"""Seconds: for what is not heard anyway, and for what happens at once on a machine that has time."""


class Children:
    """Starts fake services and remembers their sessions."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.processes: list[subprocess.Popen[bytes]] = []

    def start(self, *arguments: str) -> subprocess.Popen[bytes]:
        """Start a fake service and wait until it behaves as it was told."""
        log = self.folder / f"{len(self.processes)}.log"
        command = [*FAKE, *arguments]
        child = start_child(command, log=log, environment=environment() | MARKS, cwd=PROJECT_ROOT)
        self.processes.append(child)
        assert wait_until(lambda: "started" in tail(log), LONG)
        return child

    @property
    def sessions(self) -> set[int]:
        """The children's sessions."""
        return {process.pid for process in self.processes}

    def stop(self, *, run_seconds: float = LONG, seconds: float = LONG) -> None:
        """Stop them all; what goes by itself has so long that one can tell by its exit code what it went by."""
        stop_sessions(self.sessions, MARKS, run_seconds=run_seconds, seconds=seconds)
        for process in self.processes:
            process.wait(LONG)

    def all_gone(self) -> bool:
        """Wait until nobody is left: who was killed may take a moment."""
        return wait_until(lambda: session_members(self.sessions, MARKS) == [], LONG)


@pytest.fixture
def children(tmp_path: Path) -> Iterator[Children]:
    """Give a starter of children, all of them gone at the end."""
    started = Children(tmp_path)
    yield started
    for process in session_members(started.sessions, MARKS):
        process.kill()
    for child in started.processes:
        child.wait()


def test_everybody_is_asked_and_goes(children: Children) -> None:
    """Services end by SIGINT: nothing harder is sent."""
    for _ in range(2):
        children.start("stay")
    children.stop()
    assert [child.returncode for child in children.processes] == [-signal.SIGINT] * 2
    assert session_members(children.sessions, MARKS) == []


def test_deaf_service_is_killed(children: Children) -> None:
    """What ignores SIGINT and SIGTERM is killed when its time is up."""
    child = children.start("deaf")
    assert wait_until(lambda: ignores_sigint(child.pid), LONG)
    children.stop(seconds=SHORT)
    assert child.returncode == -signal.SIGKILL


@pytest.mark.parametrize("way", ["worker", "forked-worker"])
def test_run_worker_records_its_end(children: Children, tmp_path: Path, way: str) -> None:
    """A run worker, which does not hear SIGINT, gets SIGTERM first; the service then ends by itself."""
    report = tmp_path / "report"
    service = children.start(way, str(report))
    assert wait_until(report.with_suffix(".started").exists, LONG)
    children.stop()
    assert report.read_text() == "run failed"
    assert service.returncode == 0


def test_deaf_run_worker_does_not_hold_us_up(children: Children, tmp_path: Path) -> None:
    """A run worker that hears nothing is killed with its service."""
    report = tmp_path / "report"
    children.start("deaf-worker", str(report))
    assert wait_until(report.with_suffix(".started").exists, LONG)
    children.stop(run_seconds=SHORT, seconds=SHORT)
    assert children.all_gone()


def test_orphan_is_found(children: Children) -> None:
    """A deaf grandchild whose parent is gone is found by its session and stopped."""
    parent = children.start("orphan")
    parent.wait()
    assert wait_until(lambda: "is deaf" in tail(children.folder / "0.log"), LONG)
    assert len(session_members(children.sessions, MARKS)) == 1
    children.stop(seconds=SHORT)
    assert children.all_gone()


def test_stranger_with_an_old_number_is_spared(children: Children) -> None:
    """A process in a session of that number which does not carry our marks is not ours."""
    stranger = children.start("stay")
    other = {"CHUNK_SYNC_TEST_MARK": "another home"}
    assert session_members({stranger.pid}, other) == []
    stop_sessions({stranger.pid}, other, run_seconds=SHORT, seconds=SHORT)
    stranger.terminate()
    assert stranger.wait(LONG) == -signal.SIGTERM  # ours: nothing had ended it before


@pytest.mark.skipif(sys.platform != "linux", reason="other systems have no PDEATHSIG: the next `up` sweeps")
def test_child_goes_with_a_killed_parent(tmp_path: Path) -> None:
    """A kill -9 of us ends our children."""
    script = (
        "import time; from pathlib import Path; from chunk_sync.local.processes import start_child\n"
        f"log = Path({str(tmp_path / 'log')!r})\n"
        "child = start_child(['sleep', '600'], log=log, environment={'PATH': '/usr/bin:/bin'}, cwd=Path('/'))\n"
        "print(child.pid, flush=True); time.sleep(600)"
    )
    with subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        child = int(parent.stdout.readline())
        parent.kill()
    assert wait_until(lambda: not is_alive(child), LONG)


def test_ignored_sigint_is_not_handed_down(children: Children) -> None:
    """Started from a script's `&`, where SIGINT is ignored, children hear it all the same."""
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        child = children.start("stay")
    finally:
        signal.signal(signal.SIGINT, before)
    children.stop()
    assert child.returncode == -signal.SIGINT


def test_tail(tmp_path: Path) -> None:
    """The end of a log, however long; nothing when there is none."""
    log = tmp_path / "log"
    assert tail(log) == ""
    log.write_text("".join(f"line {n}\n" for n in range(5000)))
    assert tail(log, lines=2) == "line 4998\nline 4999"


def is_alive(pid: int) -> bool:
    """Tell whether a process runs; a zombie does not."""
    status = Path(f"/proc/{pid}/stat")
    return status.exists() and status.read_text().rpartition(")")[2].split()[0] != "Z"


def ignores_sigint(pid: int) -> bool:
    """Look up a process's ignored signals."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    mask = int(next(line for line in lines if line.startswith("SigIgn")).split()[1], 16)
    return bool(mask & (1 << (signal.SIGINT - 1)))
