"""The assembly: what Dagster finds in the code location, and what loading it costs."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import dagster as dg
import pytest

from benchmarks.orchestration.definitions import defs as benchmark
from chunk_sync.definitions import defs
from chunk_sync.settings import DSN, PROJECT_ROOT, environment
from chunk_sync_tests.defs import guarded_import

pytestmark = pytest.mark.usefixtures("repository")

TEAM = ["team:mail-platform"]
TRAPS = {
    "socket": "import socket; socket.create_connection(('127.0.0.1', 9))",
    "name": "import socket; socket.getaddrinfo('mail.example.org', 993)",
    "psycopg": "import psycopg; psycopg.connect('host=127.0.0.1 port=9')",
    "sqlalchemy": "import sqlalchemy; sqlalchemy.create_engine('postgresql+psycopg2://127.0.0.1:9/x').connect()",
}


def load(module: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """Import a module in a fresh process that must not connect to anything, without a DSN."""
    variables = {name: value for name, value in environment().items() if not name.startswith("CHUNK_SYNC_")}
    assert DSN not in variables
    return subprocess.run(
        [sys.executable, guarded_import.__file__, module],
        env=variables | {"PYTHONPATH": f"{folder}:{PROJECT_ROOT}", "HOME": str(folder)},
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def test_loading_connects_to_nothing(tmp_path: Path) -> None:
    """Definitions load without a database, a network and a setting, and leave no file; pandas waits for health."""
    done = load("chunk_sync.definitions", tmp_path)
    assert done.returncode == 0, done.stderr
    imported = set(json.loads(done.stdout))
    assert "chunk_sync.defs.sensors" in imported
    heavy = {"pandas", "numpy", "dagster_postgres", "dagster_webserver", "dagster_graphql", "typer", "rich"}
    assert set() == heavy & imported
    assert set() == {name for name in imported if name.startswith(("chunk_sync.cli", "chunk_sync.local"))}
    assert [] == list(tmp_path.iterdir())


@pytest.mark.parametrize("trap", TRAPS)
def test_guard_of_loading_bites(tmp_path: Path, trap: str) -> None:
    """A module that does connect while it is imported is caught."""
    (tmp_path / "trap.py").write_text(TRAPS[trap])
    assert load("trap", tmp_path).stderr.splitlines()[-1].startswith("AssertionError: ")


def test_definitions_are_valid(repository: dg.RepositoryDefinition) -> None:
    """Every job, sensor and asset resolves, with all its resources."""
    assert repository.name
    dg.Definitions.validate_loadable(defs)


def test_benchmark_has_the_same_assets() -> None:
    """What the orchestration benchmark runs are the product's assets and jobs, and they load."""
    dg.Definitions.validate_loadable(benchmark)
    assert defs.assets == benchmark.assets
    assert defs.jobs == benchmark.jobs


def test_jobs(repository: dg.RepositoryDefinition) -> None:
    """People and sensors launch these, all in one process a run."""
    found = {job.name: sorted(job.graph.node_dict) for job in repository.get_all_jobs()}
    assert found.pop("__ASSET_JOB") == ["mail_problems", "planned_chunks", "queue_health", "synced_emails"]
    assert found == {
        "health": ["mail_problems", "queue_health"],
        "maintenance": ["check_lanes", "delete_expired", "thread_old_mail"],
        "plan_sync_jobs": ["planned_chunks"],
        "request_sync": ["request"],
        "retry_chunks": ["claim_chunks", "complete_chunks", "process_chunks"],
        "sync_chunks": ["synced_emails"],
    }
    assert {"in_process"} == {job.executor_def.name for job in repository.get_all_jobs()}
    assert all(job.description for job in repository.get_all_jobs() if job.name != "__ASSET_JOB")


def test_the_asset_is_the_three_ops() -> None:
    """The partitioned asset and the pulling job run the same ops, one after another."""
    job = defs.resolve_job_def("sync_chunks")
    graph = job.graph.node_named("synced_emails").definition
    assert isinstance(graph, dg.GraphDefinition)
    names = ["claim_chunks", "process_chunks", "complete_chunks"]
    assert names == [node.name for node in graph.nodes_in_topological_order]
    pulling = defs.resolve_job_def("retry_chunks").graph
    assert names == [node.name for node in pulling.nodes_in_topological_order]
    assert [node.definition for node in graph.nodes_in_topological_order] == [
        node.definition for node in pulling.nodes_in_topological_order
    ]


def test_sensors_and_schedule(repository: dg.RepositoryDefinition) -> None:
    """Everything that drives the installation runs from the first minute on, without a click."""
    sensors = {
        sensor.name: (sorted(target.job_name for target in sensor.targets), sensor.minimum_interval_seconds)
        for sensor in repository.sensor_defs
    }
    assert sensors == {
        "new_sync_jobs": (["plan_sync_jobs"], 5),
        "due_chunks": (["retry_chunks", "sync_chunks"], 5),
        "stuck_chunks": ([], 5),
    }
    assert {dg.DefaultSensorStatus.RUNNING} == {sensor.default_status for sensor in repository.sensor_defs}
    assert all(sensor.description for sensor in repository.sensor_defs)
    schedules = {each.name: (each.cron_schedule, each.job_name) for each in repository.schedule_defs}
    assert schedules == {
        "health_every_5_minutes": ("*/5 * * * *", "health"),
        "maintenance_every_hour": ("17 * * * *", "maintenance"),
    }
    assert {dg.DefaultScheduleStatus.RUNNING} == {each.default_status for each in repository.schedule_defs}


def test_assets(repository: dg.RepositoryDefinition) -> None:
    """The lineage: mailboxes -> planned_chunks -> synced_emails (by chunk) -> the health of both."""
    graph = repository.asset_graph
    found = {}
    for key in graph.get_all_asset_keys():
        node = graph.get(key)
        parents = sorted(parent.to_user_string() for parent in node.parent_keys)
        found[key.to_user_string()] = (node.group_name, sorted(node.kinds), parents, node.is_executable)
        assert TEAM == list(node.owners)
        assert node.description
    assert found == {
        "mailboxes": ("sync", ["email"], [], False),
        "planned_chunks": ("sync", ["postgres", "python"], ["mailboxes"], True),
        "synced_emails": ("sync", ["email", "postgres"], ["planned_chunks"], True),
        "queue_health": ("health", ["pandas", "postgres"], ["synced_emails"], True),
        "mail_problems": ("health", ["pandas", "postgres"], ["synced_emails"], True),
    }


def test_partitions(repository: dg.RepositoryDefinition) -> None:
    """Chunks are dynamic partitions, and a range of them is one run."""
    graph = repository.asset_graph
    partitioned = {key.to_user_string() for key in graph.get_all_asset_keys() if graph.get(key).is_partitioned}
    assert {"synced_emails"} == partitioned
    node = graph.get(dg.AssetKey("synced_emails"))
    assert isinstance(node.partitions_def, dg.DynamicPartitionsDefinition)
    assert "chunks" == node.partitions_def.name
    assert dg.BackfillPolicy.single_run() == node.backfill_policy


def test_launchpad_is_filled_in() -> None:
    """A first sync needs no typing: the launchpad of request_sync opens with a configuration that is valid."""
    job = defs.resolve_job_def("request_sync")
    filled = {"mailbox": "demo", "tenant": "default", "sync_type": "auto", "since": "", "until": "", "priority": 0}
    assert job.run_config is not None
    assert {"request": {"config": filled}} == job.run_config["ops"]
    assert dg.validate_run_config(job, job.run_config)
