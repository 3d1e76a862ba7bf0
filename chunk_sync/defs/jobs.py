"""Jobs: what a person launches, and what the sensors ask for."""

from typing import Literal

import dagster as dg

from chunk_sync.defs.assets import planned_chunks, synced_emails
from chunk_sync.defs.failures import plain_failures
from chunk_sync.defs.ops import claim_chunks, complete_chunks, process_chunks
from chunk_sync.defs.resources import ChunkSync
from chunk_sync.domain.instants import parse_instant
from chunk_sync.store.mailboxes import request_sync as store_request

plan_sync_jobs = dg.define_asset_job(
    "plan_sync_jobs", selection=[planned_chunks], description="Plan sync jobs that were requested."
)

sync_chunks = dg.define_asset_job(
    "sync_chunks",
    selection=dg.AssetSelection.assets(synced_emails).without_checks(),
    description="Sync a range of chunks: what the due_chunks sensor launches.",
)


@dg.job(description="Pull due chunks wherever they are: retries that lie scattered. Launch it by hand to help out.")
def retry_chunks() -> None:
    """The same three ops, without partitions; their chunks turn green all the same."""
    complete_chunks(process_chunks(claim_chunks()))


class RequestConfig(dg.Config):
    """A sync to ask for. `since` and `until` are dates or instants (half-open range); empty: no bound."""

    mailbox: str
    tenant: str = "default"
    sync_type: Literal["auto", "initial", "incremental", "manual"] = "auto"
    since: str = ""
    until: str = ""
    priority: int = 0


@dg.op(name="request")
def request_sync_op(context: dg.OpExecutionContext, config: RequestConfig, chunk_sync: ChunkSync) -> None:
    """Ask for a sync; the new_sync_jobs sensor finds it within seconds."""
    with plain_failures():
        request = store_request(
            chunk_sync.database(),
            config.mailbox,
            tenant=config.tenant,
            sync_type=None if config.sync_type == "auto" else config.sync_type,
            sync_from=parse_instant(config.since),
            sync_to=parse_instant(config.until, end=True),
            priority=config.priority or None,
            requested_by=f"dagster run {context.run_id}",
        )
    context.log.info("sync job %d (%s, priority %d) requested", request.job_id, request.sync_type, request.priority)


@dg.job(
    name="request_sync",
    description="Ask for a sync of a mailbox. priority 0: by the type (30 urgent, 20 initial, 10 normal, 1 last).",
    config=dg.RunConfig(ops={"request": RequestConfig(mailbox="demo")}),
)
def request_sync() -> None:
    """One op: the sensors do the rest."""
    request_sync_op()


all_jobs = [plan_sync_jobs, sync_chunks, retry_chunks, request_sync]
