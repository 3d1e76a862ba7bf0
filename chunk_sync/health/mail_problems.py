"""What could not be read or stored, from a frame of counts, and its newest as a table of ids."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pandas as pd

from chunk_sync.store.reading import PROBLEM_KINDS

_IDS = ("mailbox_id", "folder_id", "uid", "message_id", "kind", "reasons", "size", "noticed_at")


@dataclass(frozen=True, slots=True)
class MailProblems:
    """Messages by kind, and by kind and reason: one with two reasons counts for each of them."""

    by_kind: Mapping[str, int]
    by_reason: pd.DataFrame


def summarize_problems(count_rows: Sequence[Mapping[str, object]]) -> MailProblems:
    """Summarize rows as `sql/queries/problem_counts` gives them."""
    frame = pd.DataFrame([dict(row) for row in count_rows], columns=["kind", "reasons", "messages"])
    frame = frame.astype({"kind": "str", "messages": "int64"})
    kinds = frame.groupby("kind")["messages"].sum().reindex(list(PROBLEM_KINDS), fill_value=0)
    apart = frame.explode("reasons").rename(columns={"reasons": "reason"})
    apart["reason"] = apart["reason"].fillna("no reason noted").astype("str")
    counts = apart.groupby(["kind", "reason"])["messages"].sum().reset_index()
    return MailProblems(
        by_kind={kind: int(kinds[kind]) for kind in PROBLEM_KINDS},
        by_reason=counts.sort_values("messages", ascending=False, kind="stable").reset_index(drop=True),
    )


def newest_problems(rows: Sequence[Mapping[str, object]]) -> str:
    """Write rows of the view mail_problems as a Markdown table of ids: nothing that somebody wrote is in it."""
    frame = pd.DataFrame([{name: row[name] for name in _IDS} for row in rows], columns=list(_IDS), dtype="object")
    if frame.empty:
        return "none"
    frame["reasons"] = [", ".join(reasons) for reasons in frame["reasons"]]
    frame["noticed_at"] = [f"{at:%Y-%m-%d %H:%M:%S %Z}" for at in frame["noticed_at"]]
    lines = [list(_IDS), ["---"] * len(_IDS), *frame.fillna("-").astype("str").to_numpy().tolist()]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)
