"""From the commit of an insert to the claim in a worker that waits: two processes, one job at a time."""

from __future__ import annotations

import random
import time

from benchmarks.queue.latency import Quantiles
from benchmarks.queue.process import Failed, Troupe
from benchmarks.queue.systems import Ready

JOBS = 200
_WARM = 5
_PAUSE_SECONDS = (0.01, 0.04)
_ANSWER_SECONDS = 15.0
_SETTLE_SECONDS = 1.0


def measure(ready: Ready, jobs: int) -> Quantiles:
    """Insert one job after another; milliseconds from the commit to the claim. Raises Failed."""
    dsn = ready.database("bench")
    times: list[float] = []
    pause = random.Random(1)
    with Troupe() as troupe:
        waiting = troupe.start(ready.command, ready.job("wait", dsn))
        troupe.expect("ready")
        waiting.tell("go")
        sending = troupe.start(ready.command, ready.job("send", dsn))
        troupe.expect("ready")
        time.sleep(_SETTLE_SECONDS)  # a library's worker listens soon after it started
        for _ in range(_WARM + jobs):
            time.sleep(pause.uniform(*_PAUSE_SECONDS))
            sending.tell("go")
            times.append(_answer(troupe))
    return Quantiles.of(times[_WARM:])


def _answer(troupe: Troupe) -> float:
    """Hear from both sides, in any order: milliseconds between them."""
    moments: dict[str, float] = {}
    until = time.monotonic() + _ANSWER_SECONDS
    while len(moments) < 2:
        heard = troupe.hear(max(0.0, until - time.monotonic()))
        if heard is None:
            missing = "claim" if "sent" in moments else "insert"
            message = f"no {missing} within {_ANSWER_SECONDS:.0f} s"
            raise Failed(message)
        for word in ("sent", "got"):
            if word in heard[1]:
                moments[word] = heard[1]["at"]
    return (moments["got"] - moments["sent"]) * 1000
