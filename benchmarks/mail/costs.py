"""Where the engine's time goes: `--profile` looks into one process with py-spy and counts PostgreSQL's statements."""

from __future__ import annotations

import subprocess
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from benchmarks.mail.bench import Bench
from benchmarks.queue.install import Environment
from benchmarks.queue.server import Server

_RATE = 100
_OURS = "ChunkRun._work"
_IDLE = ("Condition.wait", "Event.wait")
_SHOWN = 25
_WIDTH = 110
_TOP = """
    SELECT sum(milliseconds), sum(calls)::bigint, sum(count)::bigint, sum(wal), toplevel, query
    FROM (
        SELECT s.total_exec_time AS milliseconds, s.calls, s.rows AS count, s.wal_bytes AS wal, s.toplevel,
            left(regexp_replace(s.query, '\\s+', ' ', 'g'), %s) AS query
        FROM pg_stat_statements AS s JOIN pg_database AS d ON d.oid = s.dbid AND d.datname = 'mail'
        WHERE s.query !~ '^(DECLARE|FETCH)'
    ) AS s
    GROUP BY toplevel, query ORDER BY 1 DESC LIMIT %s
"""


def spy_home(bench: Bench) -> Environment:
    """Tell where py-spy is installed."""
    return Environment("py-spy", "python", ("py-spy==0.4.3",), bench.cache)


@contextmanager
def spied(bench: Bench, process: int) -> Iterator[None]:
    """Sample a process until it ends or the context does, then print what was found."""
    output = bench.work / "profile.txt"
    command = [spy_home(bench).program("py-spy"), "record", "--pid", str(process), "--rate", str(_RATE)]
    spy = subprocess.Popen(
        [*command, "--format", "raw", "--output", str(output), "--duration", "3600"],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        yield
    finally:
        spy.send_signal(2)  # as Ctrl-C: it writes what it has
        spy.wait()
    _print_samples(output)


def _print_samples(output: Path) -> None:
    own: Counter[str] = Counter()
    whole: Counter[str] = Counter()
    for line in output.read_text().splitlines():
        stack, _, count = line.rpartition(" ")
        frames = [frame.rpartition(":")[0] + ")" for frame in stack.split(";")]
        place = next((at for at, frame in enumerate(frames) if frame.startswith(_OURS)), None)
        if place is None or frames[-1].startswith(_IDLE):
            continue
        frames = frames[place:]
        own[frames[-1]] += int(count)
        whole.update(dict.fromkeys(frames, int(count)))
    total = max(1, own.total())
    print(f"\nthe client's Python: share of {total} samples of threads at work on chunks, by function")
    for title, counts in (("in itself", own), ("with all that it calls", whole)):
        print(f"  {title}")
        for frame, count in counts.most_common(_SHOWN):
            print(f"  {count / total:>7.1%}  {frame}")


def print_statements(server: Server, messages: int) -> None:
    """Print the dearest statements, those inside functions too (they are parts of the function's call)."""
    rows: Iterable[tuple[float, int, int, int, bool, str]] = server.admin.execute(_TOP, (_WIDTH, _SHOWN)).fetchall()
    print(f"\nPostgreSQL: the dearest statements (microseconds and bytes of log a message, of {messages:,}; > inside)")
    print(f"  {'us':>7}{'WAL':>8}{'calls':>9}{'rows':>9}")
    for milliseconds, calls, count, wal, toplevel, text in rows:
        inside = " " if toplevel else ">"
        cells = f"{milliseconds * 1000 / messages:>7.1f}{wal / messages:>8.0f}{calls:>9,}{count:>9,}"
        print(f"  {cells} {inside} {text}")
