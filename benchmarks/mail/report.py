"""What is printed: the table, where our time goes, the ratios that the aims speak of, and the quotas."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Sequence

from benchmarks.mail.bench import Bench, Figures, Pull
from benchmarks.mail.quotas import QUOTAS, share

_LABEL = 18
_AIM_LABEL = 70
_AIMS = {"small": 6.0, "real": 2.0}
_AIMED_OVER_SINGLE = 100.0
_AIMED_FETCH_SHARE = 0.10


def table(figures: Figures, bench: Bench, order: Sequence[str]) -> None:
    """Print a row a subject."""
    line = f" behind {bench.delay:.0f} ms of round trip" if bench.delay else ""
    cores = os.cpu_count() or 1
    print(f"\npulling the mailbox{line} (the pull of median speed of each; CPU in milliseconds a message)")
    print(
        f"{'':<{_LABEL}}{'msg/s':>9}{'MB/s':>8}{'seconds':>9}{'client':>8}{'database':>9}{'dovecot':>8}"
        f"{f'busy of {cores}':>10}{'peak MB':>9}  "
    )
    for name in order:
        if pull := figures.middle(name):
            print(f"{name:<{_LABEL}}{_cells(pull)}  {_remarks(pull)}".rstrip())
    for name, reason in figures.failures.items():
        print(f"{name:<{_LABEL}}NOT MEASURED: {reason}")


def _cells(pull: Pull) -> str:
    size = f"{pull.megabytes:>8.1f}" if pull.bytes else f"{'-':>8}"
    cpu = {name: seconds / pull.messages * 1000 for name, seconds in pull.cpu.items()}
    database = f"{cpu['postgres']:>9.3f}" if "postgres" in cpu else f"{'-':>9}"
    return (
        f"{pull.rate:>9,.0f}{size}{pull.seconds:>9.2f}{cpu['client']:>8.3f}{database}{cpu['dovecot']:>8.3f}"
        f"{pull.busy:>10.0%}{pull.peak_mb:>9.0f}"
    )


def _remarks(pull: Pull) -> str:
    if pull.before is None:
        return pull.note
    if pull.whole is None:
        return f"{pull.note}; planned in {pull.before:.2f} s"
    return f"{pull.note}; {pull.whole:.1f} s from request to end, {pull.before:.1f} s of them before the first claim"


def stages(figures: Figures, ours: Sequence[str]) -> None:
    """Print where the chunks' time went: milliseconds a message of all attempts, which overlap, and shares."""
    names = sorted({stage for one in ours for pull in figures.pulls.get(one, ()) for stage in pull.stages})
    if not names:
        return
    print(
        "\nours, milliseconds a message and share of the chunks' time (landing: to the completion, without the commit)"
    )
    print(f"{'':<{_LABEL}}{'chunk':>9}" + "".join(f"{stage:>18}" for stage in names))
    for one in ours:
        if pull := figures.middle(one):
            cells = [
                f"{pull.stages.get(stage, 0.0) / pull.messages * 1000:>10.3f} {pull.stage_share(stage) or 0.0:>6.1%}"
                for stage in names
            ]
            print(f"{one:<{_LABEL}}{pull.attempts / pull.messages * 1000:>9.3f}" + "".join(f"{c:>18}" for c in cells))


def aims(figures: Figures, bench: Bench, ours: Sequence[str]) -> dict[str, float]:
    """Print the ratios, each with its aim; the same by name."""
    print("\nratios, ours over theirs (medians)")
    found: dict[str, float] = {}
    engine = figures.best_of([name for name in ours if name != "dagster"])
    sides = [("dagster", "rate", "through Dagster, first claim to last completion")]
    sides += [("dagster", "whole_rate", "through Dagster, request to end")]
    sides += [(engine, "rate", f"{engine} alone, its planning included")] if engine else []
    for theirs in ("mbsync", "mbsync-nofsync", "dlt", "imaplib", "sink", "single"):
        for name, what, text in sides:
            ratio = _ratio(figures.median(name, what), figures.median(theirs, "rate"))
            _line(f"{text}, over {theirs}", ratio, _aim(theirs, what, name, bench), found)
    _fetch_share(figures, ours, bench, found)
    return found


def _aim(theirs: str, what: str, ours: str, bench: Bench) -> float | None:
    if theirs == "single" and bench.delay and what == "rate":
        return _AIMED_OVER_SINGLE
    if theirs == "mbsync" and not bench.delay and ours == "dagster":
        return _AIMS.get(bench.corpus.name)
    return None


def _fetch_share(figures: Figures, ours: Sequence[str], bench: Bench, found: dict[str, float]) -> None:
    for name in ours:
        pull = figures.middle(name)
        value = pull.stage_share("fetch") if pull else None
        aim = _AIMED_FETCH_SHARE if not bench.delay else None
        _line(f"{name}: fetch, share of the chunks' time", value, aim, found, most=True)


def _line(name: str, value: float | None, aim: float | None, found: dict[str, float], *, most: bool = False) -> None:
    if value is None:
        return
    found[name] = value
    line = f"{name:<{_AIM_LABEL}}{value:>9.2f}"
    if aim is not None:
        met = value <= aim if most else value >= aim
        line += f"   aim {'at most' if most else 'at least'} {aim:g}   {'met' if met else 'MISSED'}"
    print(line)


def quotas(figures: Figures, ours: Sequence[str]) -> None:
    """Print what share of each provider's quota our best speed would use."""
    best = figures.best_of(ours)
    messages = figures.median(best, "rate") if best else None
    size = figures.median(best, "megabytes") if best else None
    if best is None or messages is None or size is None:
        return
    print(f"\nof each provider's documented quota, {best} ({messages:,.0f} msg/s, {size:.1f} MB/s) would use")
    for quota in QUOTAS:
        used = share(quota, messages, size * 1e6)
        shown = "-" if used is None else f"{used:,.0f} x" if used >= 10 else f"{used:.1f} x"
        print(f"{quota.name:<48}{shown:>12}   {quota.text}")


def as_data(figures: Figures, bench: Bench, ratios: dict[str, float], lines: Sequence[str]) -> dict[str, object]:
    """Give everything as JSON takes it."""
    return {
        "machine": list(lines),
        "corpus": dataclasses.asdict(bench.corpus),
        "delay_ms": bench.delay,
        "pulls": {
            name: [
                dataclasses.asdict(pull) | {"msg_per_s": pull.rate, "mb_per_s": pull.megabytes, "busy": pull.busy}
                for pull in pulls
            ]
            for name, pulls in figures.pulls.items()
        },
        "not_measured": figures.failures,
        "ratios": ratios,
    }


def _ratio(one: float | None, other: float | None) -> float | None:
    return one / other if one and other else None
