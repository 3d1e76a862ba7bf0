"""What a process imports before it does anything, and what that costs: each time in a fresh interpreter."""

from __future__ import annotations

import re
import resource
import statistics
import subprocess
import sys
import time
from collections import Counter
from dataclasses import dataclass

from chunk_sync.settings import PROJECT_ROOT

_SELF_TIME = re.compile(r"import time: +(\d+) \| +\d+ \| +(\S+)")

WORKER = "import dagster._grpc.impl, chunk_sync.definitions, chunk_sync.defs.storage"
"""What the process of a run imports: Dagster's entry, the definitions, the storage that dagster.yaml names."""


@dataclass(frozen=True, slots=True)
class Cost:
    """Medians over several processes: seconds on the clock and on the processor."""

    wall: float
    cpu: float


def cost(statement: str, rounds: int) -> Cost:
    """Run a statement in a fresh interpreter, several times."""
    walls: list[float] = []
    cpus: list[float] = []
    for _ in range(rounds):
        before, started = _children_cpu(), time.monotonic()
        subprocess.run([sys.executable, "-c", statement], check=True, cwd=PROJECT_ROOT)
        walls.append(time.monotonic() - started)
        cpus.append(_children_cpu() - before)
    return Cost(statistics.median(walls), statistics.median(cpus))


def by_package(statement: str) -> list[tuple[str, float, int]]:
    """Import once with `-X importtime`: package, milliseconds in its own modules, and their number; dearest first."""
    done = subprocess.run(
        [sys.executable, "-X", "importtime", "-c", statement],
        check=True,
        cwd=PROJECT_ROOT,
        capture_output=True,
        text=True,
    )
    spent: Counter[str] = Counter()
    modules: Counter[str] = Counter()
    for microseconds, module in _SELF_TIME.findall(done.stderr):
        package = module.partition(".")[0]
        spent[package] += int(microseconds)
        modules[package] += 1
    return [(package, spent[package] / 1000, modules[package]) for package, _ in spent.most_common()]


def _children_cpu() -> float:
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime
