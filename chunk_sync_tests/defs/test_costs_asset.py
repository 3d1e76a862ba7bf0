"""The asset sync_costs as a user sees it."""

from __future__ import annotations

import dagster as dg
import pytest

from chunk_sync.defs.attempts import chunk_attempts
from chunk_sync.defs.costs import sync_costs
from chunk_sync.defs.sensors import due_chunks
from chunk_sync_tests.defs.conftest import Edge
from chunk_sync_tests.defs.test_jobs import records, values


def test_costs_of_a_sync(edge: Edge) -> None:
    """Requests, bytes and seconds of the attempts, by mailbox; folders and hot spots beside them; counters go on."""
    edge.plan(5)
    edge.database.execute("INSERT INTO provider_quotas SELECT provider, 'bytes', '1 day', 100000 FROM provider_lanes")
    edge.mail.refuse(1)
    edge.launch(edge.tick(due_chunks)[0])
    run = edge.run("health")
    shown = values(run, "sync_costs")
    attempts = edge.database.execute(
        "SELECT count(*) AS n, sum(emails_processed)::int AS emails, sum(bytes_processed)::int AS bytes"
        " FROM chunked_sync_health_monitoring"
    )[0]
    assert tuple(attempts.values()) == tuple(shown[name].value for name in ("attempts", "messages", "bytes"))
    assert 0 < attempts["n"]
    (mailbox,) = records(shown["by_mailbox"])
    assert (attempts["n"], attempts["emails"]) == (mailbox["attempts"], mailbox["messages"])
    assert 1 <= len(records(shown["slowest_folders"]))
    assert [1] == [spot["attempts"] for spot in records(shown["error_hot_spots"])]
    (quota,) = records(shown["quotas"])
    assert (attempts["bytes"], attempts["bytes"] / 100_000) == (quota["used"], pytest.approx(quota["share"], abs=1e-4))
    assert quota["share"] == shown["highest_quota_share"].value
    assert "seconds of work by day" in shown["chart"].value
    assert isinstance(shown["seconds_per_1000_messages"], dg.FloatMetadataValue)


def test_costs_come_after_the_roll_up() -> None:
    """They read what the roll-up wrote."""
    assert chunk_attempts.key in sync_costs.dependency_keys
