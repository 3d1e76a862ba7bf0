"""All definitions as text that is read in a diff. Renew it: `.venv/bin/python -m chunk_sync_tests.defs.snapshot`."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from enum import Enum
from pathlib import Path
from typing import Any

import dagster as dg
import yaml

SNAPSHOT = Path(__file__).parent / "snapshots" / "definitions.yaml"
COMMAND = ".venv/bin/python -m chunk_sync_tests.defs.snapshot"
_ALL_ASSETS_JOB = "__ASSET_JOB"
_WIDTH = 118


def render(definitions: dg.Definitions) -> str:
    """Write down what a Dagster user sees of the definitions; what is empty is left out."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Dagster warns of its own beta parameters when it resolves
        repository = definitions.get_repository_def()
        graph = repository.asset_graph
        everything = {
            "assets": {k.to_user_string(): _asset(graph.get(k)) for k in sorted(graph.get_all_asset_keys())},
            "checks": {k.to_user_string(): _check(graph.get(k)) for k in sorted(graph.asset_check_keys)},
            "jobs": {job.name: _job(job) for job in _by_name(repository.get_all_jobs()) if job.name != _ALL_ASSETS_JOB},
            "sensors": {sensor.name: _sensor(sensor) for sensor in _by_name(repository.sensor_defs)},
            "schedules": {schedule.name: _schedule(schedule) for schedule in _by_name(repository.schedule_defs)},
            "resources": {name: _resource(one) for name, one in sorted(repository.get_top_level_resources().items())},
        }
    return yaml.safe_dump(_plain(everything), sort_keys=False, width=_WIDTH, allow_unicode=True)


def _by_name(named: Any) -> list[Any]:
    return sorted(named, key=lambda one: one.name)


def _asset(node: Any) -> dict[str, Any]:
    return {
        "description": node.description,
        "group": node.group_name,
        "kinds": sorted(node.kinds),
        "owners": sorted(node.owners),
        "tags": {name: value for name, value in sorted(node.tags.items()) if not name.startswith("dagster/kind/")},
        "deps": sorted(parent.to_user_string() for parent in node.parent_keys),
        "external": not node.is_executable,
        "partitions": node.partitions_def and repr(node.partitions_def),
        "backfill": node.backfill_policy and str(node.backfill_policy),
        "automation": node.automation_condition and str(node.automation_condition.get_label() or "a condition"),
        "freshness": node.freshness_policy and str(node.freshness_policy),
        "pools": sorted(node.pools or ()),
        "metadata": {name: _metadata(value) for name, value in sorted(node.metadata.items())},
    }


def _metadata(value: Any) -> Any:
    if isinstance(value, dg.MetadataValue):
        value = value.value
    if isinstance(value, dg.TableSchema):
        return {column.name: f"{column.type}: {column.description or ''}".rstrip(": ") for column in value.columns}
    return value if isinstance(value, str | int | float | bool) else str(value)


def _check(node: Any) -> dict[str, Any]:
    return {"description": node.description, "blocking": node.blocking}


def _job(job: dg.JobDefinition) -> dict[str, Any]:
    return {
        "description": job.description,
        "executor": job.executor_def.name,
        "tags": dict(sorted(job.tags.items())),
        "run tags": dict(sorted(job.run_tags.items())),
        "partitions": job.partitions_def and repr(job.partitions_def),
        "ops": {op.name: _op(op) for op in _by_name(job.all_node_defs) if isinstance(op, dg.OpDefinition)},
        "config": job.run_config,
    }


def _op(op: dg.OpDefinition) -> dict[str, Any]:
    policy = op.retry_policy
    fields = getattr(op.config_schema.config_type, "fields", None) or {}
    return {
        "description": op.description,
        "pool": op.pool,
        "retries": policy
        and f"{policy.max_retries}, delay {policy.delay} s, {policy.backoff and policy.backoff.value}",
        "resources": sorted(op.required_resource_keys),
        "config": {name: _field(field) for name, field in sorted(fields.items())},
    }


def _field(field: Any) -> str:
    kind = field.config_type
    values = getattr(kind, "enum_values", None)
    name = " | ".join(value.config_value for value in values) if values else _type_name(kind)
    if field.default_provided:
        return f"{name} = {field.default_value!r}"
    return name if field.is_required else f"{name}, optional"


def _type_name(kind: Any) -> str:
    kind = getattr(kind, "scalar_type", kind)
    if inner := getattr(kind, "inner_type", None):
        return f"{kind.kind.value.capitalize()}[{_type_name(inner)}]"
    return kind.given_name or kind.kind.value


def _sensor(sensor: dg.SensorDefinition) -> dict[str, Any]:
    return {
        "description": sensor.description,
        "jobs": sorted(target.job_name for target in sensor.targets),
        "interval": sensor.minimum_interval_seconds,
        "status": sensor.default_status,
        "tags": dict(sorted(sensor.tags.items())),
    }


def _schedule(schedule: dg.ScheduleDefinition) -> dict[str, Any]:
    return {
        "description": schedule.description,
        "job": schedule.job_name,
        "cron": schedule.cron_schedule,
        "timezone": schedule.execution_timezone or "UTC",
        "status": schedule.default_status,
        "tags": dict(sorted(schedule.tags.items())),
    }


def _resource(resource: dg.ResourceDefinition) -> dict[str, Any]:
    return {"description": resource.description}


def _plain(value: Any) -> Any:
    """Leave out what is empty; the rest as YAML can write it."""
    if isinstance(value, Mapping):
        return {str(key): _plain(inner) for key, inner in value.items() if inner not in (None, False, "", [], {}, ())}
    if isinstance(value, list | tuple):
        words = all(isinstance(inner, str) for inner in value)
        return ", ".join(value) if words else [_plain(inner) for inner in value]
    return value.value if isinstance(value, Enum) else value


if __name__ == "__main__":
    from chunk_sync.definitions import defs

    SNAPSHOT.write_text(render(defs), encoding="utf-8")
