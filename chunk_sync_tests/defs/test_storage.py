"""dagster.yaml for real: the instance it describes, and the storage whose connections are kept."""

from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import psycopg
import pytest

from chunk_sync.defs.storage import PooledPostgresStorage
from chunk_sync.local.database import Database, dagster_environment
from chunk_sync.local.dsn import app_url, dagster_own_url
from chunk_sync.settings import Settings
from chunk_sync_tests.postgres_plugin import PgServer
from chunk_sync_tests.servers.process import wait_until


@pytest.fixture
def instance(pg_server: PgServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[dg.DagsterInstance]:
    """Open the instance of the project's dagster.yaml on an empty database."""
    dsn = pg_server.dsn(pg_server.create())
    settings = Settings.read({"CHUNK_SYNC_HOME": str(tmp_path / "home")})
    where = Database(dsn=app_url(dsn), dagster_dsn=dagster_own_url(dsn), psql=None)
    for name, value in dagster_environment(settings, where).items():
        monkeypatch.setenv(name, value)
    with dg.DagsterInstance.get() as found:
        yield found


def test_dagster_yaml_describes_this_instance(instance: dg.DagsterInstance, tmp_path: Path) -> None:
    """The settings that runs depend on are what dagster.yaml says."""
    assert instance.get_ref().storage_data.class_name == PooledPostgresStorage.__name__
    queue = instance.get_concurrency_config().run_queue_config
    assert queue is not None
    assert queue.max_concurrent_runs == 4
    assert instance.run_coordinator.dequeue_interval_seconds == 1
    assert instance.run_monitoring_enabled
    assert instance.run_monitoring_max_runtime_seconds == 3600
    assert instance.get_settings("run_monitoring")["free_slots_after_run_end_seconds"] == 30
    assert instance.run_retries_enabled
    assert not instance.run_retries_retry_on_asset_or_op_failure
    assert not instance.telemetry_enabled
    assert not instance.nux_enabled
    assert instance.storage_directory().startswith(str(tmp_path / "home" / "dagster"))


def test_connections_are_kept(instance: dg.DagsterInstance, pg_server: PgServer) -> None:
    """Twenty events use the connections that the first one opened."""
    counted = "select sessions from pg_stat_database where datname = %s"
    database = instance.event_log_storage.postgres_url.rpartition("/")[2]
    instance.report_runless_asset_event(dg.AssetMaterialization("a"))
    before = sessions(pg_server.admin, counted, database)
    for _ in range(20):
        instance.report_runless_asset_event(dg.AssetMaterialization("a"))
    assert sessions(pg_server.admin, counted, database) - before < 20  # not even one each: some are counted late


def test_an_instance_that_is_done_with_leaves_no_connection(instance: dg.DagsterInstance, pg_server: PgServer) -> None:
    """A process may open one instance after another, as the code server does at each tick."""
    database = instance.event_log_storage.postgres_url.rpartition("/")[2]
    counted = "select count(*) from pg_stat_activity where datname = %s"

    def use() -> int:
        with dg.DagsterInstance.get() as another:
            another.get_runs_count()
            another.event_log_storage.has_asset_key(dg.AssetKey("a"))
            another.all_instigator_state()
        return sessions(pg_server.admin, counted, database)

    before = use()
    assert wait_until(lambda: max(use() for _ in range(4)) <= before, 60)


def test_restart_of_the_server_is_survived(instance: dg.DagsterInstance, pg_server: PgServer) -> None:
    """Connections that the server ended are not handed out, not even at once."""
    instance.get_runs_count()
    pg_server.admin.execute(
        "select pg_terminate_backend(pid) from pg_stat_activity where datname like 'chunk_sync_test%'"
    )
    assert instance.get_runs_count() == 0


def sessions(admin: psycopg.Connection, statement: str, database: str) -> int:
    """Count the connections that were ever made to a database."""
    admin.execute("select pg_stat_clear_snapshot()")
    row = admin.execute(statement, [database]).fetchone()
    assert row is not None
    return row[0]
