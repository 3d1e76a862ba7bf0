"""What is printed: tables, and the ratios that the aims speak of, each with its aim and whether it is met."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from benchmarks.queue.latency import Latencies, Quantiles
from benchmarks.queue.systems import BATCHES, FAIR, FIFO, OURS, Ready, modes
from benchmarks.queue.throughput import Figures
from benchmarks.queue.wal import Log

_LABEL = 34
_AIMED_BYTES = 1024
_STRETCH = 40_000.0
_AIMED_DEPTH = 1_000_000


def throughput(figures: Figures, systems: Sequence[Ready], workers: Sequence[int], *, seconds: float) -> None:
    """Print jobs a second by batch and workers."""
    print(f"\njobs a second, claim and complete ({seconds:.0f} s at most a run; medians)")
    head = "".join(f"{f'b{batch} w{count}':>10}" for batch in BATCHES for count in workers)
    print(f"{'':<{_LABEL}}{head}{'enqueue':>10}")
    for _, mode in modes(systems):
        cells = [
            "failed" if figures.failed(mode.label, batch, count) else _number(figures.rate(mode.label, batch, count))
            for batch in BATCHES
            for count in workers
        ]
        print(_row(mode.label, [*cells, _number(figures.enqueued(mode.label))]))
    for (label, batch, count), reason in figures.failures.items():
        print(f"failed: {label}, batch {batch}, {count} workers: {reason}")


def throughput_aims(figures: Figures, workers: Sequence[int]) -> None:
    """Print the ratios: ours over theirs, at the same batch and number of workers, and best over best."""
    print("\nratios, ours over theirs (of the best cells of both; in brackets at the same number of workers)")
    for other, batch, aim in (
        ("pgqueuer", 100, 2.0),
        ("pgqueuer", 10, 1.5),
        ("procrastinate", 1, 2.0),
        ("procrastinate, concurrency 20", 1, None),
        ("pg-boss", 1, 2.0),
    ):
        ratio = _ratio(figures.best(OURS, [batch]), figures.best(other, [batch]))
        each = [_ratio(figures.rate(OURS, batch, count), figures.rate(other, batch, count)) for count in workers]
        _aim(f"batch {batch} over {other}", ratio, aim, each)
    theirs = [figures.best(name) for name in ("procrastinate", "procrastinate, concurrency 20")]
    _aim(
        "best over procrastinate's best",
        _ratio(figures.best(OURS), max((rate for rate in theirs if rate), default=None)),
        50.0,
    )
    best = figures.best(OURS, [100])
    verdict = "not measured" if best is None else _verdict(met=best >= _STRETCH)
    print(f"{'batch 100, jobs a second':<{_LABEL + 10}}{_number(best):>10}   stretch {_STRETCH:,.0f}   {verdict}")


def latencies(found: Latencies, systems: Sequence[Ready], depths: Sequence[int]) -> None:
    """Print milliseconds a claim by depth."""
    print("\nmilliseconds a claim, p50 / p99, by chunks pending over 1,000 tenants, one with nearly all of them")
    columns = [(depth, batch) for depth in depths for batch in (1, 10)]
    print(f"{'':<{_LABEL}}" + "".join(f"{f'{depth:,} b{batch}':>16}" for depth, batch in columns))
    for label in [label for ready in systems for label, _ in ready.system.claims]:
        cells = [
            "failed" if (label, *column) in found.failures else _pair(found.cell(label, *column)) for column in columns
        ]
        print(f"{label:<{_LABEL}}" + "".join(f"{cell:>16}" for cell in cells))
    for (label, depth, batch), reason in found.failures.items():
        print(f"failed: {label}, {depth:,} pending, batch {batch}: {reason}")


def latency_aims(found: Latencies, depths: Sequence[int]) -> None:
    """Print what fairness costs, and what depth costs."""
    print("\nratios of p50")
    deep, shallow = max(depths), min(depths)
    judged = deep >= _AIMED_DEPTH  # the aims speak of a million; less is printed without a verdict
    for batch in (1, 10):
        fair, fifo = found.cell(FAIR, deep, batch), found.cell(FIFO, deep, batch)
        ratio = _ratio(_p50(fair), _p50(fifo))
        _aim(f"fair over FIFO at {deep:,}, batch {batch}", ratio, 3.0 if judged else None, most=True)
    for batch in (1, 10) if deep > shallow else ():
        far, near = found.cell(FAIR, deep, batch), found.cell(FAIR, shallow, batch)
        ratio = _ratio(_p50(far), _p50(near))
        _aim(f"fair at {deep:,} over {shallow:,}, batch {batch}", ratio, 1.5 if judged else None, most=True)


def first_claims(found: Iterable[tuple[str, Quantiles | str]], jobs: int) -> None:
    """Print milliseconds from commit to claim."""
    print(f"\nmilliseconds from the commit of an insert to the claim in a waiting worker ({jobs} jobs), p50 / p99")
    for label, quantiles in found:
        print(
            f"{label:<{_LABEL}}{_pair(quantiles) if isinstance(quantiles, Quantiles) else f'failed: {quantiles}':>16}"
        )


def wal(found: Sequence[tuple[str, Log | str]]) -> None:
    """Print bytes of log a job, and whether ours stay below the aim."""
    print("\nbytes of write-ahead log a job (no full pages; in the last column with those after a checkpoint)")
    print(f"{'':<{_LABEL}}{'batch':>7}{'enqueue':>10}{'work':>10}{'total':>10}{'work+pages':>12}")
    for label, log in found:
        if isinstance(log, Log):
            cells = f"{log.batch:>7}{log.enqueue:>10,.0f}{log.work:>10,.0f}{log.total:>10,.0f}{log.paged:>12,.0f}"
            print(f"{label:<{_LABEL}}{cells}")
        else:
            print(f"{label:<{_LABEL}} failed: {log}")
    ours = next((log for label, log in found if label == OURS and isinstance(log, Log)), None)
    _aim("bytes a job, ours", ours.total if ours else None, _AIMED_BYTES, most=True)


def _aim(
    name: str,
    value: float | None,
    aim: float | None,
    each: Sequence[float | None] = (),
    *,
    most: bool = False,
) -> None:
    shown = "-" if value is None else f"{value:,.2f}" if value < 100 else f"{value:,.0f}"
    line = f"{name:<{_LABEL + 10}}{shown:>10}"
    if aim is not None:
        line += f"   aim {'at most' if most else 'at least'} {aim:g}   "
        line += "not measured" if value is None else _verdict(met=value <= aim if most else value >= aim)
    if any(each):
        line += f"   [{', '.join('-' if one is None else f'{one:.2f}' for one in each)}]"
    print(line)


def _verdict(*, met: bool) -> str:
    return "met" if met else "MISSED"


def _ratio(one: float | None, other: float | None) -> float | None:
    return one / other if one and other else None


def _p50(quantiles: Quantiles | None) -> float | None:
    return quantiles.p50 if quantiles else None


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:,.0f}"


def _pair(quantiles: Quantiles | None) -> str:
    return "-" if quantiles is None else f"{quantiles.p50:.2f} / {quantiles.p99:.2f}"


def _row(label: str, cells: Sequence[str]) -> str:
    return f"{label:<{_LABEL}}" + "".join(f"{cell:>10}" for cell in cells)
