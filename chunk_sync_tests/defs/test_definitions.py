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
    heavy |= {"alembic", "cryptography", "hypothesis", "chunk_sync.mail.imap", "chunk_sync.mail.connect"}
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


def test_everything_is_described_and_runs_by_itself(repository: dg.RepositoryDefinition) -> None:
    """What is there is in the snapshot; all of it has a text, an owner where Dagster shows one, and is on."""
    assert all(job.description for job in repository.get_all_jobs() if job.name != "__ASSET_JOB")
    assert {"in_process"} == {job.executor_def.name for job in repository.get_all_jobs()}
    assert all(sensor.description for sensor in repository.sensor_defs)
    assert {dg.DefaultSensorStatus.RUNNING} == {sensor.default_status for sensor in repository.sensor_defs}
    assert {dg.DefaultScheduleStatus.RUNNING} == {each.default_status for each in repository.schedule_defs}
    graph = repository.asset_graph
    nodes = [graph.get(key) for key in graph.get_all_asset_keys()]
    assert all(TEAM == list(node.owners) and node.description and node.group_name != "default" for node in nodes)


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
    why = {"reason": "by hand, in Dagster"}
    assert {"ops": {"request": {"config": filled | why}}} == job.run_config
    assert dg.validate_run_config(job, job.run_config)
