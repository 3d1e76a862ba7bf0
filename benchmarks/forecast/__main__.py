"""Print how near forecasts are on varied workloads: ours beside plain rates and libraries. Simulated time."""

from __future__ import annotations

import argparse
import time

from benchmarks.forecast.candidates import Candidate, lately, ours, since_start, with_libraries
from benchmarks.forecast.replay import SHARES, inside, learned, limits, misses, sum_up
from benchmarks.forecast.workloads import KINDS, Run, simulate

AIM = 0.9


def main() -> None:
    """Simulate, ask, print; exit code 1 when less than the aim of the jobs is within 20 % at half-way."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--jobs", type=int, default=300, help="of each kind")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--limit", type=int, default=0, help="jobs of each kind, to say what luck leaves unknowable")
    options = parser.parse_args()
    seeds = range(options.seed, options.seed + options.jobs)
    runs = {kind: [simulate(kind, seed) for seed in seeds] for kind in KINDS}
    print(f"{options.jobs} jobs of each kind; median error of the remaining time, and share of jobs within 20 %\n")
    near = 0.0
    for name, candidate in {
        "ours": ours,
        "since start": since_start,
        "last quarter": lately,
        **with_libraries(),
    }.items():
        at_half = _print(name, candidate, runs)
        near = at_half if name == "ours" else near
    print(
        "\nshare of jobs that ended within the range (the aim is 80 %): as it is, and scaled by the outcomes of others"
    )
    for kind, found in runs.items():
        past, tested = found[::2], found[1::2]
        cells = [f"{inside(tested, s, 1.0):5.0%} {inside(tested, s, learned(past, s)):5.0%}" for s in SHARES]
        print(f"  {kind:10} {'   '.join(cells)}")
    if options.limit:
        print("\nhalf-way, who knows the mailbox's nature but not its luck; the same, but for how fast it is")
        for kind in KINDS:
            knowing, learning = limits(kind, range(options.seed, options.seed + options.limit))
            print(f"  {kind:10} {knowing}   {learning}")
    print(f"\nat half-way {near:.0%} of all jobs within 20 % (the aim is {AIM:.0%})")
    raise SystemExit(near < AIM)


def _print(name: str, candidate: Candidate, runs: dict[str, list[Run]]) -> float:
    """Print a candidate's errors; returns its share within 20 % at half-way, of all jobs."""
    began = time.perf_counter()
    every: dict[float, list[float]] = {share: [] for share in SHARES}
    print(f"{name:26}" + "".join(f"{f'{share:.0%}':>16}" for share in SHARES))
    for kind, found in runs.items():
        missed = {share: misses(candidate, found, share) for share in SHARES}
        for share in SHARES:
            every[share] += missed[share]
        print(f"  {kind:24}" + "".join(f"    {sum_up(missed[share])}" for share in SHARES))
    each = 1000 * (time.perf_counter() - began) / sum(map(len, every.values()))
    print(f"  {'all':24}" + "".join(f"    {sum_up(every[share])}" for share in SHARES) + f"   {each:.2f} ms each")
    return sum_up(every[0.5]).near


if __name__ == "__main__":
    main()
