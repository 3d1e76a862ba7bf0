"""How right forecasts were, from a frame of those that were scored."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pandas as pd

from chunk_sync.health.frames import MOMENT, typed

NEAR = 0.2
"""An error of the remaining time that is near enough."""
_SCHEMA = {
    "kind": "str",
    "model": "str",
    "scored_at": MOMENT,
    "share": "float64",
    "error": "float64",
    "inside": "bool",
    "seconds": "float64",
}
_LEAST_SECONDS = 30.0
_QUARTERS = ("0 to 25 %", "25 to 50 %", "50 to 75 %", "75 to 100 %")


@dataclass(frozen=True, slots=True)
class ForecastScore:
    """Errors are parts of the remaining time; below 0: foreseen too early. Shares are of forecasts.

    `by_age` goes by how much had landed, `daily` are median errors, the oldest day first.
    """

    scored: int
    median_error: float
    bias: float
    near: float
    inside: float
    by_age: pd.DataFrame
    by_model: pd.DataFrame
    daily: Sequence[float]


def score(rows: Sequence[Mapping[str, object]]) -> ForecastScore:
    """Score rows as `sql/queries/forecast_scored` gives them; forecasts of the last half minute are left out."""
    frame = typed(rows, _SCHEMA)
    frame = frame[frame["seconds"] >= _LEAST_SECONDS].copy()
    frame["size"] = frame["error"].abs()
    frame["near"] = frame["size"] <= NEAR
    quarter = (frame["share"].clip(0, 0.999) * 4).astype("int64")
    frame["age"] = quarter.map(dict(enumerate(_QUARTERS)))
    daily = frame.groupby(frame["scored_at"].dt.floor("D"))["size"].median()
    return ForecastScore(
        scored=len(frame),
        median_error=_number(frame["size"].median()),
        bias=_number(frame["error"].median()),
        near=_number(frame["near"].mean()),
        inside=_number(frame["inside"].mean()),
        by_age=_grouped(frame, ["kind", "age"]),
        by_model=_grouped(frame, ["model", "kind"]),
        daily=[float(value) for value in daily],
    )


def _number(value: float) -> float:
    return 0.0 if pd.isna(value) else round(float(value), 4)


def _grouped(frame: pd.DataFrame, by: list[str]) -> pd.DataFrame:
    groups = frame.groupby(by, sort=True)
    table = pd.DataFrame(
        {
            "forecasts": groups.size(),
            "median_error": groups["size"].median().round(4),
            "bias": groups["error"].median().round(4),
            "within_20_percent": groups["near"].mean().round(4),
            "inside_range": groups["inside"].mean().round(4),
        }
    )
    return table.reset_index()
