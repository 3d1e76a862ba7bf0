"""How a program talks with the benchmark: a job on its first line of input, words after it, JSON lines back.

Verbs of a program: `setup`, `enqueue`, `work`, and where the system allows it `claims`, `send` and `wait`. The
standard library only: this runs in each library's own environment.
"""

from __future__ import annotations

import asyncio
import json
import queue
import sys
import threading
import time
from collections.abc import Callable, Sequence
from typing import Any

_TELL_SECONDS = 0.02
_EMPTY_SECONDS = 0.002


class Wire:
    """One end of the line: the job that was given, the words that come, the progress that is told."""

    def __init__(self) -> None:
        self.job: dict[str, Any] = json.loads(sys.stdin.readline())
        self.options: dict[str, Any] = self.job.get("options", {})
        self.dsn: str = self.job["dsn"]
        self.stopped = False
        self._words: queue.Queue[str] = queue.Queue()
        self._told = (0.0, -1)
        self._first = 0.0
        self.done = 0
        threading.Thread(target=self._listen, daemon=True).start()

    def say(self, **fields: object) -> None:
        """Send one message."""
        sys.stdout.write(json.dumps(fields) + "\n")
        sys.stdout.flush()

    def ready(self) -> None:
        """Say that everything is connected, and wait at the barrier."""
        self.say(ready=True)
        self.word()

    async def ready_async(self) -> None:
        """Do the same in an event loop."""
        self.say(ready=True)
        await asyncio.to_thread(self.word)

    def word(self) -> str:
        """Wait for the next word: `go`, or `stop`."""
        return self._words.get()

    def begin(self) -> None:
        """Note the start: right before the first claim, or in the first handler where the library claims."""
        if not self._first:
            self._first = time.time()

    def handled(self) -> None:
        """Count a job, in the handler of a library that claims and completes by itself."""
        self.begin()
        self.done += 1

    def tell(self, *, now: bool = False) -> None:
        """Tell how many jobs are done, not more often than each 20 ms."""
        at, told = self._told
        if self.done != told and (now or time.monotonic() - at > _TELL_SECONDS):
            self._told = (time.monotonic(), self.done)
            self.say(done=self.done, first=self._first)

    async def until_stopped(self) -> None:
        """Tell the progress until the word is `stop`."""
        while not self.stopped:
            self.tell(now=True)
            await asyncio.sleep(_TELL_SECONDS)

    def _listen(self) -> None:
        for line in sys.stdin:
            self.stopped = line.strip() == "stop"
            self._words.put(line.strip())
        self.stopped = True  # the benchmark is gone
        self._words.put("stop")


def work_loop(wire: Wire, claim: Callable[[], Sequence[Any]], complete: Callable[[Sequence[Any]], object]) -> None:
    """Claim and complete until told to stop: the worker of a system that is a pair of statements."""
    wire.ready()
    wire.begin()
    while not wire.stopped:
        if claimed := claim():
            complete(claimed)
            wire.done += len(claimed)
            wire.tell()
        else:
            wire.tell(now=True)
            time.sleep(_EMPTY_SECONDS)


def claim_times(
    wire: Wire, claim: Callable[[], Sequence[Any]], complete: Callable[[Sequence[Any]], object]
) -> list[float]:
    """Time claims, in milliseconds; what was claimed is completed off the clock."""
    times: list[float] = []
    until = time.monotonic() + wire.job["seconds"]
    for turn in range(wire.job["warm"] + wire.job["count"]):
        started = time.perf_counter()
        claimed = claim()
        spent = (time.perf_counter() - started) * 1000
        if len(claimed) != wire.job["batch"]:
            message = f"a claim of {wire.job['batch']} gave {len(claimed)}"
            raise RuntimeError(message)
        complete(claimed)
        if turn >= wire.job["warm"]:
            times.append(spent)
        if time.monotonic() > until:
            break
    return times


async def claim_times_async(wire: Wire, claim: Callable[[], Any], complete: Callable[[Any], Any]) -> list[float]:
    """Do the same with coroutines."""
    times: list[float] = []
    until = time.monotonic() + wire.job["seconds"]
    for turn in range(wire.job["warm"] + wire.job["count"]):
        started = time.perf_counter()
        claimed = await claim()
        spent = (time.perf_counter() - started) * 1000
        if len(claimed) != wire.job["batch"]:
            message = f"a claim of {wire.job['batch']} gave {len(claimed)}"
            raise RuntimeError(message)
        await complete(claimed)
        if turn >= wire.job["warm"]:
            times.append(spent)
        if time.monotonic() > until:
            break
    return times


def timed(wire: Wire, started: float) -> None:
    """Answer how many seconds an enqueue took."""
    wire.say(seconds=time.perf_counter() - started)


def main(**verbs: Callable[[Wire], Any]) -> None:
    """Do what the first line asks for."""
    wire = Wire()
    answer = verbs[wire.job["verb"]](wire)
    if asyncio.iscoroutine(answer):
        answer = asyncio.run(answer)
    if answer is not None:
        wire.say(milliseconds=answer)
    wire.say(ended=True)
