"""What is compared: how each subject pulls the mailbox once, in processes of its own."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.mail.bench import SLICE, Bench, Pull, python
from benchmarks.mail.engine import MAILBOX
from benchmarks.mail.oracle import Times, difference, times
from benchmarks.mail.server import pid_of
from benchmarks.mail.usage import MemoryWatch, cpu_seconds
from benchmarks.queue.install import Environment, NotInstalled
from benchmarks.queue.process import Failed, Program, Troupe, ask
from benchmarks.queue.server import Server
from chunk_sync.store.database import Database

_PULL_SECONDS = 3600.0
_START_SECONDS = 300.0
_TEMPLATE = "mail_template"
_SETTINGS = {"CHUNK_SYNC_PARALLEL_RUNS": "2"}
"""Nothing is tuned: these are the product's own, and so are chunks, threads and limits."""
_FEW = 2_000
"""Messages that dlt is given: one a command, each parsed by the standard library."""


@dataclass(frozen=True)
class Subject:
    """A row of the table; `prepare` installs what it needs, names it, and may raise NotInstalled."""

    name: str
    pull: Callable[[Bench, Server], Pull]
    prepare: Callable[[Bench], str | None] = lambda _: None
    ours: bool = False


def subjects(processes: Sequence[int]) -> list[Subject]:
    """List all, in the order of the table."""
    return [
        Subject("sink", lambda bench, _: _fetch(bench, "sink")),
        Subject("imaplib", lambda bench, _: _fetch(bench, "blocks")),
        Subject("single", lambda bench, _: _fetch(bench, "single", limit=SLICE if bench.delay else None)),
        Subject("imapclient", _imapclient, lambda bench: _installed_in(_imapclient_home(bench))),
        Subject("mbsync", lambda bench, _: _mbsync(bench, fsync=True), _find_mbsync),
        Subject("mbsync-nofsync", lambda bench, _: _mbsync(bench, fsync=False), _find_mbsync),
        Subject("dlt", _dlt, _find_dlt),
        *(Subject(f"engine-{count}", _engine(count), ours=True) for count in processes),
        Subject("dagster", _dagster, ours=True),
    ]


def _fetch(bench: Bench, verb: str, command: list[str] | None = None, limit: int | None = None) -> Pull:
    command = command or python("programs.fetchers")
    pull = _by_program(bench, command, bench.job(verb, limit=limit))
    found, corpus = (pull.messages, pull.bytes), bench.corpus
    expected = (corpus.messages, pull.bytes if verb == "sink" else corpus.bytes)  # the sink counts the protocol too
    if limit is None and found != expected:
        message = f"{found[0]} messages with {found[1]} bytes instead of {expected[0]} with {expected[1]}"
        raise Failed(message)
    return pull


def _by_program(bench: Bench, command: list[str], job: dict[str, Any], postgres: int | None = None) -> Pull:
    """Have a program pull, and add what the servers used."""
    with Troupe() as troupe:
        program = troupe.start(command, job)
        troupe.expect("ready", seconds=_START_SECONDS)
        with _servers(bench, postgres) as cpu:
            program.tell("go")
            said = troupe.expect("result", seconds=_PULL_SECONDS)[0]
    skipped = f"{said['skipped']} skipped" if said.get("skipped") else ""
    cpu["client"] = said["cpu"]
    return Pull(said["seconds"], said["messages"], said["bytes"], cpu, said["peak_mb"], note=skipped)


@contextlib.contextmanager
def _servers(bench: Bench, postgres: int | None) -> Iterator[dict[str, float]]:
    """Fill in, at the end, the CPU seconds that the servers used meanwhile."""
    os.sync()  # nobody pays for what an earlier subject left to be written
    roots = {"dovecot": bench.imap_pid} | ({"postgres": postgres} if postgres else {})
    before = {name: cpu_seconds(pid) for name, pid in roots.items()}
    found: dict[str, float] = {}
    yield found
    found |= {name: cpu_seconds(pid) - before[name] for name, pid in roots.items()}


def _imapclient_home(bench: Bench) -> Environment:
    return Environment("imapclient", "python", ("imapclient==4.1.0",), bench.cache)


def _imapclient(bench: Bench, _: Server) -> Pull:
    program = [_imapclient_home(bench).program("python"), "-m", "benchmarks.mail.programs.fetchers"]
    return _fetch(bench, "imapclient", program)


def _installed_in(home: Environment) -> str:
    home.install()
    return home.versions()


def _find_mbsync(_: Bench) -> str:
    program = shutil.which("mbsync")
    if not program:
        message = "mbsync is not installed: apt install isync"
        raise NotInstalled(message)
    return subprocess.run([program, "--version"], capture_output=True, text=True, check=True).stdout.strip()


def _mbsync(bench: Bench, *, fsync: bool) -> Pull:
    folder = bench.work / "mbsync"
    job = bench.job("pull", folder=str(folder), fsync="yes" if fsync else "no")
    try:
        pull = _by_program(bench, python("programs.with_mbsync"), job)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    if pull.messages < bench.corpus.messages * 0.99:
        message = f"{pull.messages} of {bench.corpus.messages} messages"
        raise Failed(message)
    return pull


def _dlt_home(bench: Bench) -> Environment:
    return Environment("dlt", "python", ("dlt[postgres]==1.31.0",), bench.cache)


def _find_dlt(bench: Bench) -> str:
    if bench.dlt_source is None:
        message = "its inbox source is not on PyPI: name a folder that holds its code with --dlt-source"
        raise NotInstalled(message)
    if not (bench.dlt_source / "helpers.py").exists():
        message = f"{bench.dlt_source} is not the folder of its inbox source"
        raise NotInstalled(message)
    return _installed_in(_dlt_home(bench))


def _dlt(bench: Bench, server: Server) -> Pull:
    limit = min(SLICE if bench.delay else _FEW, bench.corpus.messages)
    folder = bench.work / "dlt"
    shutil.rmtree(folder, ignore_errors=True)
    job = bench.job("load", server.create("mail_dlt"), source=str(bench.dlt_source), folder=str(folder), limit=limit)
    command = [_dlt_home(bench).program("python"), "-m", "benchmarks.mail.programs.with_dlt"]
    return _by_program(bench, command, job, pid_of(server.postgres))


def pull_with_engine(
    bench: Bench,
    server: Server,
    processes: int,
    around: Callable[[list[int]], AbstractContextManager[object]] = lambda _: contextlib.nullcontext(),
) -> Pull:
    """Pull with the engine alone; `around` is entered, with the processes' ids, while they work."""
    ask(python("engine"), _our_job(bench, "setup", server.create(_TEMPLATE)), "ended")
    job = _our_job(bench, "work", server.create("mail", _TEMPLATE))
    with Troupe() as troupe:
        programs = [troupe.start(python("engine"), job) for _ in range(processes)]
        troupe.expect("ready", count=processes, seconds=_START_SECONDS)
        with around([program.id for program in programs]), _servers(bench, pid_of(server.postgres)) as cpu:
            started = time.perf_counter()
            job_id = _share(troupe, programs)
            said = troupe.expect("result", count=processes, seconds=_PULL_SECONDS)
            seconds = time.perf_counter() - started
    cpu["client"] = sum(one["cpu"] for one in said)
    pull = _checked(bench, job["dsn"], job_id, cpu=cpu, peak_mb=sum(one["peak_mb"] for one in said))
    return dataclasses.replace(pull, seconds=seconds, whole=None)  # what others do for a listing counts there too


def _engine(processes: int) -> Callable[[Bench, Server], Pull]:
    return lambda bench, server: pull_with_engine(bench, server, processes)


def _our_job(bench: Bench, verb: str, dsn: str) -> dict[str, Any]:
    home = bench.work / "home"
    home.mkdir(exist_ok=True)
    own = {"home": str(home), "secret": str(bench.secret), "address": bench.address, "settings": _SETTINGS}
    return bench.job(verb, dsn, **own)


def _share(troupe: Troupe, programs: Sequence[Program]) -> int:
    """Have the first process plan, and all of them run their parts; the job."""
    programs[0].tell(f"plan {len(programs)}")
    planned = troupe.expect("planned", seconds=_PULL_SECONDS)[0]
    for place, program in enumerate(programs):
        mine = planned["dispatches"][place :: len(programs)]
        program.tell("run " + ",".join(str(number) for number in mine))
    return planned["job"]


def _checked(bench: Bench, dsn: str, job_id: int, *, cpu: dict[str, float], peak_mb: float) -> Pull:
    """Make sure that everything landed, byte for byte, and read where the time went. Raises Failed."""
    with Database(dsn) as database:
        took: Times = times(database, job_id)
        wrong = difference(database, MAILBOX, bench.corpus)
    if wrong or took.unfinished:
        message = wrong or f"{took.unfinished} of {took.chunks} chunks did not complete"
        raise Failed(message)
    return Pull(
        took.inside,
        bench.corpus.messages,
        bench.corpus.bytes,
        cpu,
        peak_mb,
        whole=took.whole,
        before=took.before,
        attempts=took.attempts,
        stages=took.stages,
        note=f"{took.chunks} chunks in {took.runs} runs",
    )


def _dagster(bench: Bench, _: Server) -> Pull:
    home = bench.work / "installation"
    shutil.rmtree(home, ignore_errors=True)
    job = _our_job(bench, "sync", "") | {"home": str(home)}
    try:
        return _installed(bench, job)
    finally:
        _forget(home)


def _installed(bench: Bench, job: dict[str, Any]) -> Pull:
    with Troupe() as troupe:
        program = troupe.start(python("end_to_end"), job)
        ready = troupe.expect("ready", seconds=_START_SECONDS)[0]
        postgres = ready["postgres"]
        with MemoryWatch(program.id, without=postgres) as memory, _servers(bench, postgres) as cpu:
            before = cpu_seconds(program.id, without=postgres)
            program.tell("go")
            said = troupe.expect("result", seconds=_PULL_SECONDS)[0]
            client = cpu_seconds(program.id, without=postgres) - before
        cpu["client"] = client
        pull = _checked(bench, ready["dsn"], said["job"], cpu=cpu, peak_mb=memory.peak_mb)
        program.tell("end")
        troupe.expect("closed", seconds=_START_SECONDS)
    return pull


def _forget(home: Path) -> None:
    """Remove an installation, also the part that lies elsewhere when we are root."""
    place = (home / "postgres").resolve()
    shutil.rmtree(home, ignore_errors=True)
    shutil.rmtree(place, ignore_errors=True)
