"""Processes of ours: started so that they go when we go, and stopped with all that they started.

Each child leads a session of its own. Ctrl-C in the terminal reaches only us, and the session's number
finds every descendant, also one whose parent was killed.
"""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import suppress
from pathlib import Path

import psutil

_POLL_SECONDS = 0.05
_PR_SET_PDEATHSIG = 1
_LIBC: ctypes.CDLL | None = ctypes.CDLL(None) if sys.platform == "linux" else None


def start_child(
    command: Sequence[str], *, log: Path, environment: Mapping[str, str], cwd: Path
) -> subprocess.Popen[bytes]:
    """Start a child in its own session, its output appended to `log`.

    Call it from the main thread: on Linux the kernel sends the child SIGTERM when the thread that
    started it ends, by kill -9 too.
    """
    with log.open("ab") as output:
        return subprocess.Popen(  # noqa: S603 - our own programs
            list(command),
            env=dict(environment),
            cwd=cwd,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            preexec_fn=_child_setup(os.getpid()),  # noqa: PLW1509 - it calls nothing that takes a lock
        )


def session_members(sessions: Collection[int], marks: Mapping[str, str]) -> list[psutil.Process]:
    """Find the living processes of these sessions that carry `marks` in their environment.

    The marks tell ours from a stranger that was given an old number. Zombies count as gone.
    """
    found: list[psutil.Process] = []
    for pid in psutil.pids():
        try:
            if os.getsid(pid) in sessions:
                process = psutil.Process(pid)
                if process.status() != psutil.STATUS_ZOMBIE and marks.items() <= process.environ().items():
                    found.append(process)
        except (OSError, psutil.Error):
            continue
    return found


def run_workers(processes: Sequence[psutil.Process]) -> list[psutil.Process]:
    """Pick Dagster's run workers, spawned or forked; a step process, whose parent is one, is left to it."""
    spawned = _with_word(processes, "multiprocessing.spawn")
    forked = _with_word(processes, "multiprocessing.forkserver")  # and who forks them, with the same words
    return [
        *(worker for worker in spawned.values() if _parent(worker) not in spawned.keys() | forked.keys()),
        *(worker for worker in forked.values() if _parent(worker) in forked),
    ]


def stop_sessions(sessions: Collection[int], marks: Mapping[str, str], *, run_seconds: float, seconds: float) -> None:
    """Stop everything in these sessions: run workers first, at last by SIGKILL.

    Dagster's services wait for their run workers, which do not hear the services' SIGINT; a run worker
    that gets SIGTERM records its run as failed. It has `run_seconds` for that. Services without a run
    worker are told at the same time: the daemon must not start the run anew. Then everything has
    `seconds` after SIGINT and a third of it after SIGTERM.
    """

    def members() -> list[psutil.Process]:
        return session_members(sessions, marks)

    workers = run_workers(members())
    busy = {_session(worker) for worker in workers}
    idle = [process for process in _heads(members(), sessions) if _session(process) not in busy]
    _send(signal.SIGINT, idle)
    _send(signal.SIGTERM, workers)
    _gone_within(run_seconds, lambda: run_workers(members()))
    _send(signal.SIGINT, [head for head in _heads(members(), sessions) if head not in idle])
    for number, patience in ((None, seconds), (signal.SIGTERM, seconds / 3), (signal.SIGKILL, seconds)):
        if number:
            _send(number, members())
        if _gone_within(patience, members):
            return


def tail(log: Path, *, lines: int = 15, size: int = 8192) -> str:
    """Read the end of a log."""
    try:
        with log.open("rb") as file:
            file.seek(max(0, log.stat().st_size - size))
            text = file.read().decode(errors="replace")
    except FileNotFoundError:
        return ""
    return "\n".join(text.splitlines()[-lines:])


def _child_setup(parent: int) -> Callable[[], None]:
    def set_up() -> None:
        # A shell's `&` hands down SIGINT as ignored, and Dagster then ignores SIGTERM as well.
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, signal.SIG_DFL)
        if _LIBC is not None:
            _LIBC.prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
            if os.getppid() != parent:  # it ended before the kernel knew
                os.kill(os.getpid(), signal.SIGTERM)

    return set_up


def _heads(processes: Sequence[psutil.Process], sessions: Collection[int]) -> list[psutil.Process]:
    """Pick whom to ask to stop: each session's leader, who stops its own helpers; all when it is dead."""
    led = {process.pid for process in processes} & set(sessions)
    return [process for process in processes if process.pid in led or _session(process) not in led]


def _session(process: psutil.Process) -> int:
    try:
        return os.getsid(process.pid)
    except OSError:
        return 0


def _with_word(processes: Sequence[psutil.Process], text: str) -> dict[int, psutil.Process]:
    found: dict[int, psutil.Process] = {}
    for process in processes:
        with suppress(psutil.Error):
            if any(text in word for word in process.cmdline()):
                found[process.pid] = process
    return found


def _parent(process: psutil.Process) -> int:
    try:
        return process.ppid()
    except psutil.Error:
        return 0


def _send(number: signal.Signals, processes: Sequence[psutil.Process]) -> None:
    for process in processes:
        try:
            process.send_signal(number)
        except psutil.Error:
            continue


def _gone_within(seconds: float, members: Callable[[], Sequence[psutil.Process]]) -> bool:
    deadline = time.monotonic() + seconds
    while members():
        if time.monotonic() > deadline:
            return False
        time.sleep(_POLL_SECONDS)
    return True
