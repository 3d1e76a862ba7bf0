"""Dagster's door: nothing but the assembly. Loading it touches neither the network nor the database."""

import dagster as dg

from chunk_sync.defs.alerts import alerts
from chunk_sync.defs.assets import mailboxes, planned_chunks, synced_emails
from chunk_sync.defs.attempts import (
    chunk_attempts,
    error_analysis,
    recovery_effectiveness,
    retry_effectiveness,
    throughput_trend,
)
from chunk_sync.defs.costs import sync_costs
from chunk_sync.defs.forecasts import backlog_forecast, forecast_score, forecasts_sensor
from chunk_sync.defs.health import health_job, health_schedule, mail_problems, mailbox_progress, queue_health
from chunk_sync.defs.jobs import all_jobs
from chunk_sync.defs.maintenance import maintenance, maintenance_schedule
from chunk_sync.defs.resources import ChunkSync
from chunk_sync.defs.sensors import all_sensors
from chunk_sync.defs.service import system_health, tenant_sla
from chunk_sync.defs.warm_start import fork_runs

defs = dg.Definitions(
    assets=[
        mailboxes,
        planned_chunks,
        synced_emails,
        mailbox_progress,
        queue_health,
        mail_problems,
        chunk_attempts,
        error_analysis,
        throughput_trend,
        retry_effectiveness,
        recovery_effectiveness,
        backlog_forecast,
        forecast_score,
        tenant_sla,
        system_health,
        sync_costs,
    ],
    jobs=[*all_jobs, health_job, maintenance],
    schedules=[health_schedule, maintenance_schedule],
    sensors=[*all_sensors, alerts, forecasts_sensor],
    resources={"chunk_sync": ChunkSync(), "in_memory": dg.mem_io_manager},
    # Without this, every run from the UI starts a process per op.
    executor=dg.in_process_executor,
)

# In a code server only: its runs come from a process that has imported all of this once.
fork_runs(__name__)
