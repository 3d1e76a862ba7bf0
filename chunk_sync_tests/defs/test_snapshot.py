"""Every definition as a reviewer reads it: a change of what users see in Dagster is a change of a committed file."""

import dagster as dg

from chunk_sync.definitions import defs
from chunk_sync_tests.defs.snapshot import COMMAND, SNAPSHOT, render


def test_definitions_are_the_snapshot() -> None:
    """Assets, checks, jobs with their config, sensors, schedules and resources are those of the committed text."""
    assert SNAPSHOT.read_text("utf-8") == render(defs), f"meant? then renew the snapshot: {COMMAND}"


def test_snapshot_shows_each_change() -> None:
    """A description, a default and a kind that change are seen."""

    class Config(dg.Config):
        size: int = 3

    @dg.asset(description="one", kinds={"email"})
    def thing(config: Config) -> None: ...

    told = render(dg.Definitions(assets=[thing], jobs=[dg.define_asset_job("work", [thing])]))
    for expected in ("description: one", "kinds: email", "size: Noneable[Int] = 3"):
        assert expected in told, told
