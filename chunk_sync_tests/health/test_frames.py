"""Typed frames: what does not fit is an error at the door."""

from __future__ import annotations

import pytest

from chunk_sync.health.frames import MOMENT, typed, typed_csv

SCHEMA = {"name": "str", "count": "int64", "at": MOMENT}


def test_rows_become_a_typed_frame() -> None:
    """Columns are those of the schema in its order; others are left out, and no rows are an empty frame."""
    frame = typed([{"at": "2026-01-01T00:00:00Z", "count": 1, "name": "a", "more": 2}], SCHEMA)
    assert list(SCHEMA) == list(frame.columns)
    assert [MOMENT, "int64"] == [str(frame["at"].dtype), str(frame["count"].dtype)]
    assert typed([], SCHEMA).empty


def test_a_missing_column_is_an_error() -> None:
    """Not a column of NaN that something is computed from."""
    with pytest.raises(KeyError, match="rows without at, count"):
        typed([{"name": "a"}], SCHEMA)
    with pytest.raises(KeyError, match="CSV without count"):
        typed_csv(b"name,at\na,2026-01-01T00:00:00Z\n", SCHEMA)


@pytest.mark.parametrize("value", [None, "many", 1.5])
def test_a_value_that_does_not_fit_is_an_error(value: object) -> None:
    """A count that is no whole number is none."""
    with pytest.raises((TypeError, ValueError)):
        typed([{"name": "a", "count": value, "at": None}], {"count": "Int64" if value == 1.5 else "int64"})


def test_an_empty_text_in_csv_is_nothing_and_a_word_is_itself() -> None:
    """Words that pandas takes for nothing elsewhere (NA, null) are words here."""
    frame = typed_csv(b"name,count,at\n,1,2026-01-01 10:00:00+00\nNA,2,2026-01-01 10:00:00.5+00\n", SCHEMA)
    assert [True, False] == list(frame["name"].isna())
    assert "NA" == frame["name"][1]
    assert [10, 10] == list(frame["at"].dt.hour)
