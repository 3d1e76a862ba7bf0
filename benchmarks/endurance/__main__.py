"""`python -m benchmarks.endurance soak|churn`: what a million steps, and a million chunks, leave of the queue."""

from __future__ import annotations

import argparse
import sys

from benchmarks.endurance import churn, soak
from benchmarks.queue.server import running
from chunk_sync.local.signals import exit_on_signals


def main() -> int:
    """Run what was asked for, and print; 1 when something was wrong."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.endurance", description=__doc__)
    kinds = parser.add_subparsers(dest="kind", required=True)
    soaking = kinds.add_parser("soak", help="randomised steps from several connections at once")
    soaking.add_argument("--steps", type=int, default=1_000_000, help="calls, over all processes (1000000)")
    soaking.add_argument("--processes", type=int, default=4, help="how many make them (4)")
    soaking.add_argument("--seed", type=int, default=1, help="of the choices; the interleaving is the machine's (1)")
    churning = kinds.add_parser(
        "churn", help="plan, claim, complete, delete, over and over; then under an old snapshot"
    )
    churning.add_argument("--chunks", type=int, default=1_000_000, help="over all rounds (1000000)")
    churning.add_argument("--rounds", type=int, default=10, help="the last fifth under a snapshot (10)")
    options = parser.parse_args()
    with exit_on_signals(), running() as server:
        print(server.line(), flush=True)
        if options.kind == "soak":
            return soak.run(server, steps=options.steps, processes=options.processes, seed=options.seed)
        return churn.run(server, chunks=options.chunks, rounds=options.rounds)


if __name__ == "__main__":
    sys.exit(main())
