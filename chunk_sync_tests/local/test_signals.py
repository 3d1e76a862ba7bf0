"""Orderly ends by signals, tried on processes of their own."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Sequence

import pytest

pytestmark = pytest.mark.usefixtures("hangups")
WATCH = """
import sys
from chunk_sync.local.signals import stop_signals
with stop_signals() as stop:
    print("ready", flush=True)
    while not stop.wait(60): pass
    print("cleaning", flush=True)
    stop.wait(0)
    sys.stdin.readline()
print("done", stop.signal.name, flush=True)
raise SystemExit(stop.exit_code)
"""
WORK = """
import sys, time
from chunk_sync.local.signals import exit_on_signals
with exit_on_signals():
    try:
        print("ready", flush=True)
        time.sleep(600)
    finally:
        print("cleaning", flush=True)
        sys.stdin.readline()
        print("done", flush=True)
"""
CRITICAL = """
import sys, time
from chunk_sync.local.signals import exit_on_signals, uninterrupted
with exit_on_signals():
    with uninterrupted():
        print("ready", flush=True)
        sys.stdin.readline()
        print("started whole", flush=True)
    time.sleep(600)
"""


def run(script: str, signals: Sequence[signal.Signals]) -> tuple[list[str], int]:
    """Run a script, send it the signals once it is ready; its lines after that, and its exit code.

    It comes to an end of its cleaning, or of what must not be broken, when it has had all of them.
    """
    with subprocess.Popen(
        [sys.executable, "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        for number in signals:
            process.send_signal(number)
        out, _ = process.communicate("go on\n")
        return out.splitlines(), process.returncode


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_request_is_noted(number: signal.Signals) -> None:
    """A watching loop hears of each signal and leaves with the shell's code for it."""
    assert run(WATCH, [number]) == (["cleaning", f"done {number.name}"], 128 + number)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_work_is_broken_off(number: signal.Signals) -> None:
    """Work under way ends with its `finally` blocks run."""
    assert run(WORK, [number]) == (["cleaning", "done"], 128 + number)


@pytest.mark.parametrize("script", [WATCH, WORK])
def test_four_times_ctrl_c(script: str) -> None:
    """An impatient user does not break the cleaning up."""
    lines, code = run(script, [signal.SIGINT] * 4)
    assert lines[-1].startswith("done")
    assert code == 130


def test_critical_section_is_finished_first() -> None:
    """A signal that comes while a process is being started takes effect right after it."""
    assert run(CRITICAL, [signal.SIGTERM]) == (["started whole"], 143)


def test_nohup_is_respected() -> None:
    """With SIGHUP ignored by whoever started us it stays ignored."""
    script = "import signal; signal.signal(signal.SIGHUP, signal.SIG_IGN)\n" + WATCH
    assert run(script, [signal.SIGHUP, signal.SIGTERM]) == (["cleaning", "done SIGTERM"], 143)
