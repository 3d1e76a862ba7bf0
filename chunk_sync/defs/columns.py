"""The columns of what assets stand for, as Dagster's Columns section shows them; a test asks the database for its."""

import dagster as dg

_OF_DAGSTER = "dagster/"
_MAILBOXES = {
    "id": ("bigint", "Its number"),
    "public_id": ("uuid", "Its public id"),
    "tenant_id": ("bigint", "Whose it is"),
    "name": ("text", "How commands and jobs call it; unique for a tenant"),
    "address": ("text", "A URL, never with a password"),
    "provider": ("text", "imap, maildir or mbox"),
    "folders": ("text[]", "Only these paths; null: all"),
    "created_at": ("timestamp with time zone", "When it was connected"),
    "paused_at": ("timestamp with time zone", "Since when it is paused"),
    "sync_every": ("interval", "How often it is synced by itself; null: when somebody asks"),
}
_STATUS = {
    "parent_sync_job_id": ("uuid", "The sync job's public id"),
    "mailbox_id": ("bigint", "Its mailbox"),
    "pending_chunks": ("integer", "Chunks that wait"),
    "processing_chunks": ("integer", "Chunks at work"),
    "completed_chunks": ("integer", "Chunks that have landed"),
    "failed_chunks": ("integer", "Dead letters"),
    "cancelled_chunks": ("integer", "Chunks that will not be synced"),
    "total_chunks": ("integer", "All chunks"),
    "overall_status": ("text", "pending, processing, completed, partial_failure, failed or cancelled"),
    "progress_percentage": ("numeric", "Of the chunks"),
    "emails_processed": ("bigint", "Messages that are done"),
    "emails_estimated": ("bigint", "Messages that were planned"),
    "emails_per_second": ("numeric", "Since the job began"),
    "eta": ("timestamp with time zone", "When it should end, at this rate"),
    "sync_job_id": ("bigint", "The sync job's number, as in partition keys"),
}
_EMAILS = {
    "id": ("bigint", "The message's number, the same for ever"),
    "tenant_id": ("bigint", "Whose it is"),
    "mailbox_id": ("bigint", "The mailbox's number"),
    "mailbox": ("text", "The mailbox's name"),
    "thread_id": ("uuid", "Its conversation, see email_threads"),
    "subject": ("text", "Decoded"),
    "from_name": ("text", "The sender's name"),
    "from_address": ("text", "The sender's address, in lower case"),
    "to_addresses": ("jsonb", "Recipients"),
    "cc_addresses": ("jsonb", "Recipients of copies"),
    "sent_at": ("timestamp with time zone", "The Date header, where it makes sense"),
    "received_at": ("timestamp with time zone", "When the server received it"),
    "direction": ("text", "inbound or outbound"),
    "snippet": ("text", "The first words"),
    "has_attachments": ("boolean", "Whether it has any; see attachments"),
    "size": ("integer", "Bytes of its source"),
    "message_id": ("text", "Its Message-ID header; an index, never a key"),
    "folders": ("text[]", "Where it is now; empty: deleted at the source"),
    "flags": ("text[]", "Its flags and labels now"),
}

_ATTEMPT_HOURS = {
    "hour": ("timestamp with time zone", "When the hour began"),
    "tenant_id": ("bigint", "Whose they were"),
    "mailbox_id": ("bigint", "Of which mailbox"),
    "provider": ("text", "imap:HOST, maildir or mbox"),
    "status": ("attempt_status", "How they ended: success, error, timeout, or recovery of a dead worker's chunk"),
    "error_category": ("error_category", "Why they failed"),
    "attempts": ("integer", "How many there were"),
    "first_attempts": ("integer", "Of them the first ones at their chunk"),
    "dead_letters": ("integer", "Of them those after which the chunk had failed for good"),
    "emails": ("bigint", "Messages that landed"),
    "bytes": ("bigint", "Their bytes"),
    "requests": ("bigint", "What the provider was asked for"),
    "ms_sum": ("bigint", "Milliseconds of work"),
    "ms_p50": ("double precision", "Half of them took no longer"),
    "ms_p95": ("double precision", "Nineteen of twenty took no longer"),
}
_SLA_STATES = {
    "tenant_id": ("bigint", "Whose promise"),
    "objective": ("text", "first_sync, freshness or failures"),
    "mailbox_id": ("bigint", "Of which mailbox; null: all of the tenant's"),
    "state": ("text", "kept, at_risk or broken"),
    "deadline_at": ("timestamp with time zone", "Until when it has to be kept"),
    "expected_at": ("timestamp with time zone", "When it will be, as far as anybody can tell"),
    "burn_rate": ("double precision", "How many times as fast as it bears the budget is used up"),
    "budget_left": ("double precision", "Share of the failure budget that is left"),
    "message": ("text", "All of it in a sentence"),
}


def _schema(columns: dict[str, tuple[str, str]]) -> dg.TableSchema:
    return dg.TableSchema([dg.TableColumn(name, kind, text) for name, (kind, text) in columns.items()])


SCHEMAS = {
    "mailboxes": _schema(_MAILBOXES),
    "chunk_processing_status": _schema(_STATUS),
    "emails": _schema(_EMAILS),
    "attempt_hours": _schema(_ATTEMPT_HOURS),
    "sla_states": _schema(_SLA_STATES),
}
"""By the table or view; columns that nobody but the queue needs are left out."""


def shows(relation: str) -> dict[str, dg.TableSchema | str]:
    """Make the metadata of an asset that is this table or view."""
    return {_OF_DAGSTER + "table_name": f"chunk_sync.{relation}", _OF_DAGSTER + "column_schema": SCHEMAS[relation]}
