"""`python -m benchmarks.mail --corpus small|real`: one mailbox, pulled by each subject in turn, round by round.

Dovecot serves a generated mailbox; PostgreSQL is durable and on the disk that mbsync writes to. After each pull of ours
every message is compared byte for byte. With `--delay 80` everything goes through a line of that round trip.
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from benchmarks.mail import corpus, costs, report, server
from benchmarks.mail.bench import Bench, Figures, python
from benchmarks.mail.engine import MAILBOX
from benchmarks.mail.subjects import Subject, pull_with_engine, subjects
from benchmarks.queue.install import NotInstalled, cache_folder
from benchmarks.queue.process import Failed, Troupe
from benchmarks.queue.server import Server, file_system
from chunk_sync.local.signals import exit_on_signals
from chunk_sync_tests.servers.dovecot import installed_version

_WARM = "sink"
_IN_MEMORY = {"tmpfs", "ramfs"}


def parse() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.mail", description=__doc__)
    parser.add_argument("--corpus", choices=("small", "real"), default="small", help="which mailbox (small)")
    parser.add_argument("--messages", type=int, default=20_000, help="how many are in it (20000)")
    parser.add_argument(
        "--rounds", type=int, default=3, help="pulls of each subject, in turns; medians are printed (3)"
    )
    parser.add_argument("--subjects", help="only these, with commas; `engine` stands for all numbers of processes")
    parser.add_argument("--processes", default="1,2", help="processes of the engine alone (1,2)")
    parser.add_argument("--delay", type=float, default=0.0, help="milliseconds of round trip (0)")
    parser.add_argument("--work", type=Path, help="folder on a disk for mailboxes, Maildirs and databases")
    parser.add_argument("--cache", help="where the other libraries are installed, once")
    parser.add_argument("--dlt-source", type=Path, help="folder with the code of dlt's inbox source")
    parser.add_argument("--json", type=Path, help="write everything there too")
    parser.add_argument(
        "--profile", action="store_true", help="look into one engine with py-spy and pg_stat_statements instead"
    )
    options = parser.parse_args()
    options.processes = tuple(int(part) for part in options.processes.split(","))
    options.chosen = _choose(parser, options)
    if options.messages < 1 or options.rounds < 1:
        parser.error("--messages and --rounds take at least 1")
    return options


def _choose(parser: argparse.ArgumentParser, options: argparse.Namespace) -> list[Subject]:
    known = subjects(options.processes)
    if not options.subjects:
        return known
    wanted = options.subjects.split(",")
    unknown = set(wanted) - {subject.name for subject in known} - {"engine"}
    if unknown:
        parser.error(f"no such subject: {', '.join(sorted(unknown))}; there are {', '.join(s.name for s in known)}")
    return [s for s in known if s.name in wanted or (s.name.startswith("engine-") and "engine" in wanted)]


@contextmanager
def line_to(imap_port: int, milliseconds: float) -> Iterator[int]:
    """Give the port to connect to: the server's own, or that of a line with so much round trip."""
    if not milliseconds:
        yield imap_port
        return
    with Troupe() as troupe:
        troupe.start(python("delay_proxy"), {"dsn": "", "upstream": imap_port, "round_trip": milliseconds / 1000})
        yield troupe.expect("port")[0]


def prepared(chosen: Sequence[Subject], bench: Bench, figures: Figures) -> list[Subject]:
    """Install what the subjects need; leave out those that cannot be had."""
    ready: list[Subject] = []
    said: set[str] = set()
    for subject in chosen:
        try:
            found = subject.prepare(bench)
        except NotInstalled as error:
            figures.failures[subject.name] = str(error)
        else:
            ready.append(subject)
            said |= {found} if found else set()
    print("\n".join(sorted(said)), end="\n" if said else "", flush=True)
    return ready


def measure(ready: Sequence[Subject], bench: Bench, database: Server, rounds: int, figures: Figures) -> None:
    """Let the subjects take turns; one that fails is not asked again."""
    next(s for s in subjects(()) if s.name == _WARM).pull(bench, database)  # Dovecot's indexes, the page cache
    for _ in range(rounds):
        for subject in ready:
            if subject.name in figures.failures:
                continue
            try:
                pull = subject.pull(bench, database)
            except Failed as failed:
                figures.failures[subject.name] = str(failed)
                print(f"  {subject.name}: FAILED: {failed}", flush=True)
            else:
                figures.pulls[subject.name].append(pull)
                print(f"  {subject.name}: {pull.rate:,.0f} msg/s", flush=True)


def profile(bench: Bench, database: Server) -> None:
    """Print where the time of one engine process and its PostgreSQL goes."""
    costs.spy_home(bench).install()
    pull = pull_with_engine(bench, database, 1, around=lambda pids: costs.spied(bench, pids[0]))
    print(f"  {MAILBOX}: {pull.rate:,.0f} msg/s while being watched")
    costs.print_statements(database, pull.messages)


@contextmanager
def cleared(folder: Path) -> Iterator[None]:
    """Have an empty folder, and leave nothing of it."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    folder.chmod(0o711)
    try:
        yield
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def prepared_bench(options: argparse.Namespace) -> Iterator[tuple[Bench, Server, list[str]]]:
    """Serve the mailbox and start the database; with lines that say what machine this is."""
    work = (options.work or Path(tempfile.gettempdir()) / "chunk-sync-benchmark-mail").absolute()
    work.mkdir(parents=True, exist_ok=True)
    work.chmod(work.stat().st_mode | 0o711)  # Dovecot's and PostgreSQL's users walk through it when we are root
    if file_system(work) in _IN_MEMORY:
        message = f"{work} is in memory, where nothing is durable: name a folder on a disk with --work"
        raise SystemExit(message)
    mailbox = corpus.make(work, options.corpus, options.messages)
    run = work / "run"
    with (
        cleared(run),
        corpus.served(mailbox) as imap,
        line_to(imap.port, options.delay) as port,
        server.running(run, statements=options.profile) as database,
    ):
        bench = Bench(mailbox, imap, port, options.delay, run, cache_folder(options.cache), options.dlt_source)
        lines = [database.line(), f"Dovecot {installed_version()}, Maildirs on {file_system(work)}", mailbox.line()]
        yield bench, database, lines


def main() -> int:
    """Measure and print; 1 when a subject of ours failed."""
    options = parse()
    with exit_on_signals(), prepared_bench(options) as (bench, database, lines):
        print("\n".join(lines), flush=True)
        if options.profile:
            profile(bench, database)
            return 0
        figures = Figures()
        ready = prepared(options.chosen, bench, figures)
        measure(ready, bench, database, options.rounds, figures)
        ours = [subject.name for subject in options.chosen if subject.ours]
        report.table(figures, bench, [subject.name for subject in options.chosen])
        report.stages(figures, ours)
        ratios = report.aims(figures, bench, ours)
        report.quotas(figures, ours)
        if options.json:
            options.json.write_text(json.dumps(report.as_data(figures, bench, ratios, lines), indent=1) + "\n")
    return 1 if set(ours) & set(figures.failures) else 0


if __name__ == "__main__":
    sys.exit(main())
