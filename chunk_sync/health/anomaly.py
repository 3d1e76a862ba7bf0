"""Mailboxes that are much slower or faster than they use to be, from a frame of their hours."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import pandas as pd

from chunk_sync.health.frames import MOMENT, typed

HOURS = 24 * 3
_SCHEMA = {
    "tenant": "str",
    "mailbox": "str",
    "provider": "str",
    "hour": MOMENT,
    "emails": "int64",
    "seconds": "float64",
    "recent": "bool",
}
_KEYS = ["tenant", "mailbox", "provider"]
_FEWEST_HOURS = 6
_FEWEST_SECONDS = 30.0
_UNUSUAL = 3.5
_LEAST_SPREAD = 0.1
_NORMAL = 1.4826  # the median deviation of a normal distribution, times this, is its standard deviation


def find_anomalies(rows: Sequence[Mapping[str, object]]) -> pd.DataFrame:
    """List mailboxes whose last hour is unlike their own past at the same provider, the oddest first.

    Rows as `sql/queries/mailbox_hours` gives them. Speeds are messages a second of work, compared by their logarithms;
    `score` is the distance from the median in robust standard deviations, below 0 when it is slower.
    """
    frame = typed(rows, _SCHEMA)
    hours = frame[(frame["seconds"] >= _FEWEST_SECONDS) & (frame["emails"] > 0)].copy()
    hours["speed"] = (hours["emails"] / hours["seconds"]).map(math.log)
    past = hours[~hours["recent"]].groupby(_KEYS)["speed"]
    usual = pd.DataFrame(
        {"median": past.median(), "spread": past.apply(_spread).astype("float64"), "hours": past.count()}
    )
    now = hours[hours["recent"]].groupby(_KEYS)[["emails", "seconds"]].sum()
    both = now.join(usual[usual["hours"] >= _FEWEST_HOURS], how="inner")
    both["now"] = both["emails"] / both["seconds"]
    both["score"] = (both["now"].map(math.log) - both["median"]) / both["spread"].clip(lower=_LEAST_SPREAD)
    odd = both[both["score"].abs() >= _UNUSUAL].sort_values("score", key=abs, ascending=False, kind="stable")
    return pd.DataFrame(
        {
            "emails_per_second": odd["now"].round(2),
            "usual": odd["median"].map(math.exp).round(2),
            "score": odd["score"].round(1),
        }
    ).reset_index()


def _spread(speeds: pd.Series) -> float:
    return float((speeds - speeds.median()).abs().median() * _NORMAL)
