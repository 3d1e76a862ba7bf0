"""`sla`: promises are made, listed and taken back, each audited; mistakes get one line."""

from __future__ import annotations

from pathlib import Path

import pytest

from chunk_sync.store.database import Database
from chunk_sync_tests.cli.warm import run_warm
from chunk_sync_tests.factory import make_mailbox


def test_promises_are_made_listed_and_taken_back(database: Database, tmp_path: Path) -> None:
    """A tenant's own promise beside everybody's; what is not given stays; each change is in the audit log."""
    make_mailbox(database, tenant="acme")

    def said(*words: str) -> str:
        done = run_warm(tmp_path, *words, variables={"CHUNK_SYNC_DSN": database.dsn, "COLUMNS": "200"})
        assert (0, "") == (done.returncode, done.stderr)
        return done.stdout

    assert "promised to everybody" in said("sla", "set", "--first-sync", "24h")
    said("sla", "set", "--tenant", "acme", "--fresh", "30m")
    said("sla", "set", "--tenant", "acme", "--failures", "0.5%")
    rows = [line.split() for line in said("sla", "list").splitlines() if "everybody" in line or "acme" in line]
    assert [cell for cell in rows[0] if cell != "│"][:4] == ["(everybody)", "1", "day,", "0:00:00"]
    assert [cell for cell in rows[1] if cell != "│"] == ["acme", "-", "0:30:00", "0.50%", "0", "0", "0", "-"]
    said("sla", "remove", "--tenant", "acme")
    assert "acme" not in said("sla", "list")
    audited = database.execute("SELECT action, details, tenant_id IS NULL AS all FROM audit_log ORDER BY id")
    assert [
        ("sla_promised", {"first_sync_within": "1 day, 0:00:00"}, True),
        ("sla_promised", {"freshness_within": "0:30:00"}, False),
        ("sla_promised", {"failure_budget": "0.005"}, False),
        ("sla_removed", {}, False),
    ] == [tuple(row.values()) for row in audited]


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (("set",), "promise something: --first-sync 24h, --fresh 30m or --failures 1%"),
        (("set", "--fresh", "never"), "'never' is no time to promise"),
        (("set", "--failures", "1"), "'1' is no share of failures: write per cent between 0 and 100"),
        (("set", "--failures", "100%"), "'100%' is no share of failures"),
        (("set", "--tenant", "nobody", "--fresh", "1h"), "there is no tenant 'nobody'"),
        (("remove",), "everybody was promised nothing"),
        (("remove", "--tenant", "nobody"), "nobody was promised nothing"),
    ],
)
def test_mistakes_get_one_clear_line(database: Database, tmp_path: Path, words: tuple[str, ...], expected: str) -> None:
    """What is no promise, and who is not there; nothing is stored."""
    done = run_warm(tmp_path, "sla", *words, variables={"CHUNK_SYNC_DSN": database.dsn, "COLUMNS": "200"})
    assert (2, 1) == (done.returncode, len(done.stderr.splitlines()))
    assert expected in done.stderr
    assert [] == database.execute("SELECT 1 AS x FROM tenant_slas UNION ALL SELECT 1 FROM audit_log")
