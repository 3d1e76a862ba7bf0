"""Typed frames: what rows and CSV of the store become before anything is computed with them."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence

import pandas as pd

MOMENT = "datetime64[us, UTC]"


def typed(rows: Sequence[Mapping[str, object]], schema: Mapping[str, str]) -> pd.DataFrame:
    """Make a frame with exactly these columns and types.

    Raises KeyError for a column that the rows do not have, instead of a NaN further down, and ValueError or TypeError
    for a value that does not fit.
    """
    if rows and (missing := schema.keys() - rows[0].keys()):
        message = f"rows without {', '.join(sorted(missing))}"
        raise KeyError(message)
    frame = pd.DataFrame([[row[name] for name in schema] for row in rows], columns=list(schema))
    return frame.astype(dict(schema))


def typed_csv(data: bytes, schema: Mapping[str, str]) -> pd.DataFrame:
    """Read CSV with a header line into a frame as `typed` does; an empty field of a text is None."""
    plain = {name: kind for name, kind in schema.items() if kind != MOMENT}
    frame = pd.read_csv(io.BytesIO(data), dtype=plain, keep_default_na=False, na_values=[""])
    if missing := schema.keys() - set(frame.columns):
        message = f"CSV without {', '.join(sorted(missing))}"
        raise KeyError(message)
    for name in schema.keys() - plain.keys():
        frame[name] = pd.to_datetime(frame[name], utc=True, format="ISO8601").astype(MOMENT)
    return frame[list(schema)]
