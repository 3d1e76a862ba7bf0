-- Complete a chunk; the last statement of its landing.
SELECT complete_chunk(
    %(chunk_id)s, %(lease_token)s, %(inserted)s::integer, %(unchanged)s::integer, %(absent)s::integer,
    %(quarantined)s::integer, %(bytes)s, %(processing_time_ms)s::integer, %(metadata)s, %(memory_usage)s
)::text AS job_status
