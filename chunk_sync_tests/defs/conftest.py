"""The Dagster room on a real PostgreSQL, with a mailbox in memory behind it."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import dagster as dg
import pytest
from dagster import AssetPartitionStatus
from dagster_shared.utils.warnings import BetaWarning

from chunk_sync.definitions import defs
from chunk_sync.defs.partitions import chunk_partitions, register_new_keys
from chunk_sync.defs.resources import ChunkSync
from chunk_sync.domain.partitions import job_keys
from chunk_sync.engine.run_chunks import Parts
from chunk_sync.store import dispatches
from chunk_sync.store.database import Database, Row
from chunk_sync_tests import factory
from chunk_sync_tests.defs.memory_source import MemoryMail
from chunk_sync_tests.factory import PlannedJob

SYNCED = dg.AssetKey("synced_emails")


def on(database: Database, mail: MemoryMail) -> ChunkSync:
    """Make the resource that leads to this database and this mail; settings come from the environment."""

    class InMemory(ChunkSync):
        def database(self) -> Database:
            return database

        def parts(self) -> Parts:
            return Parts(database, self.settings(), mail.open)

    return InMemory()


@dataclass
class Edge:
    """Dagster's side of an installation: plan, launch what the sensors ask for, read what Dagster shows."""

    database: Database
    instance: dg.DagsterInstance
    mail: MemoryMail = field(default_factory=MemoryMail)

    def __post_init__(self) -> None:
        self.resource = on(self.database, self.mail)

    def plan(self, chunks: int, *, emails: int = 2, limit: int = 4, name: str = "box") -> PlannedJob:
        """Plan a job and give Dagster its keys."""
        mailbox = factory.make_mailbox(self.database, name, limit=limit)
        job = factory.make_job(self.database, mailbox, chunks=chunks, emails=emails)
        register_new_keys(self.instance, self.database)
        return job

    def tick(self, sensor: dg.SensorDefinition) -> list[dg.RunRequest]:
        """Evaluate a sensor once; the runs it asks for."""
        context = dg.build_sensor_context(
            instance=self.instance, resources={"chunk_sync": self.resource}, definitions=defs
        )
        answer = sensor.evaluate_tick(context)
        return list(answer.run_requests or [])

    def launch(self, request: dg.RunRequest, job_name: str | None = None) -> dg.ExecuteInProcessResult:
        """Run what a sensor asked for, in this process."""
        return self.run(job_name or request.job_name or "", tags=request.tags, run_config=request.run_config)

    def run(
        self,
        job_name: str,
        *,
        tags: dict[str, str] | None = None,
        key: str | None = None,
        run_config: dg.RunConfig | dict[str, object] | None = None,
    ) -> dg.ExecuteInProcessResult:
        """Run a job in this process."""
        return defs.resolve_job_def(job_name).execute_in_process(
            instance=self.instance,
            tags=tags,
            partition_key=key,
            run_config=run_config,
            resources={"chunk_sync": self.resource},
            raise_on_error=False,
        )

    def materializations(self, run: dg.ExecuteInProcessResult) -> dict[str, dict[str, object]]:
        """Read what a run told Dagster of chunks that landed: metadata by partition key, each once."""
        events = self._events(run, dg.DagsterEventType.ASSET_MATERIALIZATION)
        told = [event.step_materialization_data.materialization for event in events]
        assert len(told) == len({event.partition for event in told})
        return {event.partition or "": _values(event.metadata) for event in told}

    def observations(self, run: dg.ExecuteInProcessResult) -> dict[str, dict[str, object]]:
        """Read what a run told Dagster of chunks that did not land."""
        events = self._events(run, dg.DagsterEventType.ASSET_OBSERVATION)
        told = [event.asset_observation_data.asset_observation for event in events]
        return {event.partition or "": _values(event.metadata) for event in told}

    def latest(self, key: str) -> dict[str, object]:
        """Read the metadata of a partition's latest materialization."""
        wanted = dg.AssetRecordsFilter(asset_key=SYNCED, asset_partitions=[key])
        (record,) = self.instance.fetch_materializations(wanted, limit=1).records
        assert record.asset_materialization is not None
        return _values(record.asset_materialization.metadata)

    def _events(self, run: dg.ExecuteInProcessResult, kind: dg.DagsterEventType) -> list[dg.DagsterEvent]:
        records = self.instance.get_records_for_run(run.run_id, of_type=kind).records
        return [record.event_log_entry.get_dagster_event() for record in records]

    def statuses(self, job: PlannedJob) -> list[str | None]:
        """List what the Partitions tab shows, in the order of the index."""
        keys = keys_of(job)
        found = self.instance.get_status_by_partition(SYNCED, keys, chunk_partitions) or {}  # None: no event yet
        return [_name(found.get(key)) for key in keys]

    def audit(self) -> list[Row]:
        """Read the audit log."""
        return self.database.execute("SELECT * FROM audit_log ORDER BY id")

    def shorten_delays(self, milliseconds: int = 20) -> None:
        """Shorten every retry delay, which tests need not sit out."""
        self.database.execute(
            "UPDATE retry_policies SET kind = 'schedule', delays_ms = ARRAY[%s::integer], base_ms = NULL,"
            " factor = NULL, max_delay_ms = NULL WHERE retryable",
            (milliseconds,),
        )


def keys_of(job: PlannedJob, indexes: Sequence[int] | None = None) -> list[str]:
    """Name the partitions of a job."""
    return job_keys(job.id, range(len(job.chunk_ids)) if indexes is None else indexes)


def failure(run: dg.ExecuteInProcessResult) -> str:
    """Read why a run failed, as its page says it: an op of ours raised Dagster's `Failure`."""
    event = next(event for event in run.all_events if event.is_step_failure)
    said = event.step_failure_data.user_failure_data
    assert said is not None, event.step_failure_data.error
    return said.description or ""


def _values(metadata: Mapping[str, dg.MetadataValue[object]]) -> dict[str, object]:
    return {name: value.value for name, value in metadata.items()}


def _name(status: AssetPartitionStatus | None) -> str | None:
    return None if status is None else status.value


@pytest.fixture(scope="session")
def repository() -> dg.RepositoryDefinition:
    """All definitions, resolved once: Dagster warns of its own use of a beta parameter when it copies sensors."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", BetaWarning)
        return defs.get_repository_def()


@pytest.fixture
def edge(
    database: Database,
    dagster_instance: dg.DagsterInstance,
    repository: dg.RepositoryDefinition,
    monkeypatch: pytest.MonkeyPatch,
) -> Edge:
    """Dagster over an empty database; a run takes a whole job and does not wait for retries."""
    monkeypatch.setenv("CHUNK_SYNC_PARALLEL_RUNS", "1")
    monkeypatch.setenv("CHUNK_SYNC_PATIENCE_SECONDS", "0")
    return Edge(database, dagster_instance)


def live_dispatches(database: Database) -> int:
    """Count the dispatches that have not ended."""
    return sum(dispatches.live_runs(database).values())
