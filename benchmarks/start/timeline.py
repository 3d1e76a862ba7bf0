"""A run's way from being asked for to its end, as its own events tell it."""

from __future__ import annotations

import itertools
import statistics
from collections.abc import Sequence

from dagster import DagsterEventType, EventLogEntry

STAGES = ("asked -> enqueued", "queue", "process", "definitions", "first step", "steps", "end")
"""What lies between the marks of `marks`; `process` and `definitions` are the start of the run's own process."""

_BOUNDS = (
    DagsterEventType.PIPELINE_ENQUEUED.value,
    DagsterEventType.PIPELINE_STARTING.value,
    "Started process for run",
    DagsterEventType.PIPELINE_START.value,
    DagsterEventType.STEP_START.value,
    DagsterEventType.PIPELINE_SUCCESS.value,
    "Process for run exited",
)


def marks(entries: Sequence[EventLogEntry], asked_at: float) -> list[float]:
    """Give the instants that bound the stages: seconds since the epoch, one more than there are stages."""
    at: dict[str, float] = {}
    for entry in entries:
        event = entry.dagster_event
        if event is not None:
            said = (event.message or "").partition(" (pid")[0]
            at.setdefault(said if said in _BOUNDS else event.event_type_value, entry.timestamp)
    return [asked_at, *(at[name] for name in _BOUNDS)]


def medians(runs: Sequence[Sequence[float]]) -> list[float]:
    """Give the median seconds of each stage."""
    lengths = [[end - begin for begin, end in itertools.pairwise(run)] for run in runs]
    return [statistics.median(stage) for stage in zip(*lengths, strict=True)]


def before_first_line(run: Sequence[float]) -> float:
    """Seconds from the launcher's call to the start of the first step: what a run costs before its first line."""
    return run[5] - run[2]
