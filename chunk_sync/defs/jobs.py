"""Jobs: what a person launches, and what the sensors ask for."""

import dagster as dg

from chunk_sync.defs.assets import planned_chunks, synced_emails
from chunk_sync.defs.operations import all_operations
from chunk_sync.defs.ops import claim_chunks, complete_chunks, process_chunks

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


all_jobs = [plan_sync_jobs, sync_chunks, retry_chunks, *all_operations]
