"""What a program says of itself: seconds, CPU, peak memory. The standard library only."""

from __future__ import annotations

import re
import resource
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks.queue.programs.wire import Wire

_PEAK = re.compile(r"VmHWM:\s+(\d+) kB")


def peak_megabytes(process: int | str = "self") -> float:
    """Read how much memory a process had at most; 0.0 when it is gone.

    Not `ru_maxrss`: that one is inherited from whoever started the process.
    """
    try:
        found = _PEAK.search(Path(f"/proc/{process}/status").read_text())
    except OSError:
        return 0.0
    return int(found[1]) / 1024 if found else 0.0


def cpu_seconds(whose: int = resource.RUSAGE_SELF) -> float:
    """Read the CPU seconds of this process, or of its children that have ended."""
    usage = resource.getrusage(whose)
    return usage.ru_utime + usage.ru_stime


def pull(wire: Wire, work: Callable[[Wire], tuple[int, int]]) -> None:
    """Wait at the barrier, pull messages and bytes, and say what that took."""
    wire.ready()
    cpu, started = cpu_seconds(), time.perf_counter()
    messages, size = work(wire)
    said: dict[str, Any] = {
        "seconds": time.perf_counter() - started,
        "cpu": cpu_seconds() - cpu,
        "peak_mb": peak_megabytes(),
        "messages": messages,
        "bytes": size,
    }
    wire.say(result=said)
