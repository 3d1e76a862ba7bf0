"""The progress of every mailbox, from a frame of its sync jobs: the four questions that an operator has."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pandas as pd

from chunk_sync.health.frames import MOMENT, typed

STATES = ("moving", "waiting", "turned away", "paused", "at rest")
_SCHEMA = {
    "tenant": "str",
    "mailbox": "str",
    "status": "str",
    "state": "str",
    "landed": "int64",
    "planned": "int64",
    "failed_chunks": "int64",
    "emails_per_second": "float64",
    "failures": "int64",
    "error_category": "str",
    "error_message": "str",
    "turned_away_until": MOMENT,
    "ends_at": MOMENT,
    "ends_from": MOMENT,
    "ends_until": MOMENT,
}
_REASON_LENGTH = 120


@dataclass(frozen=True, slots=True)
class MailboxProgress:
    """Sums over mailboxes, and a table with a row for each: done of what, moving or until when not, why, and the end.

    `percent` is of the messages that open jobs have planned, 100 when none is open.
    """

    by_state: Mapping[str, int]
    landed: int
    planned: int
    percent: float
    emails_per_second: float
    failures: int
    table: pd.DataFrame


def summarize_progress(rows: Sequence[Mapping[str, object]]) -> MailboxProgress:
    """Summarize rows as `sql/queries/mailbox_progress` gives them."""
    frame = typed(rows, _SCHEMA)
    open_jobs = frame[frame["state"] != "at rest"]
    landed, planned = int(open_jobs["landed"].sum()), int(open_jobs["planned"].sum())
    states = frame["state"].value_counts().reindex(list(STATES), fill_value=0)
    moving = frame.loc[frame["state"] == "moving", "emails_per_second"].sum()
    return MailboxProgress(
        by_state={state: int(states[state]) for state in STATES},
        landed=landed,
        planned=planned,
        percent=round(100 * landed / planned, 2) if planned else 100.0,
        emails_per_second=round(float(moving), 2),
        failures=int(frame["failures"].sum()),
        table=_table(frame),
    )


def _table(frame: pd.DataFrame) -> pd.DataFrame:
    """Write the frame as people read it: no NaN, no NaT."""
    done = frame["landed"].astype("str") + " of " + frame["planned"].astype("str")
    why = (frame["error_category"] + ": " + frame["error_message"]).str.slice(0, _REASON_LENGTH)
    return pd.DataFrame(
        {
            "tenant": frame["tenant"],
            "mailbox": frame["mailbox"],
            "done": done,
            "state": frame["state"],
            "until": _moments(frame["turned_away_until"]),
            "failed": frame["failed_chunks"],
            "why": why.where(frame["failures"] > 0, "-"),
            "emails_per_second": frame["emails_per_second"].fillna(0.0),
            "ends_at": _moments(frame["ends_at"]),
            "ends_from": _moments(frame["ends_from"]),
            "ends_until": _moments(frame["ends_until"]),
        }
    )


def _moments(instants: pd.Series) -> pd.Series:
    return instants.dt.strftime("%Y-%m-%d %H:%M:%S UTC").fillna("-")
