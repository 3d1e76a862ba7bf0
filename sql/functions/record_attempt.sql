-- What a call of version 0.1.0 needs that an upgrade has overtaken. Nothing else calls it: the next version drops it.
CREATE OR REPLACE FUNCTION record_attempt(
    p_chunk_id bigint, p_lease_token bigint, p_attempt smallint, p_status attempt_status, p_processing_time_ms integer,
    p_emails integer, p_category error_category, p_code text, p_message text, p_retry_delay_ms integer,
    p_memory_usage bigint, p_metadata jsonb, p_worker_id bigint DEFAULT NULL
) RETURNS void
LANGUAGE sql VOLATILE SET search_path = chunk_sync, pg_temp AS $$
    INSERT INTO chunked_sync_health_monitoring (
        chunk_job_id, queue_id, tenant_id, mailbox_id, sync_job_id, chunk_id, lease_token, worker_id, attempt_number,
        status, processing_time_ms, chunk_size, emails_processed, efficiency_ratio, error_category, error_code,
        error_message, suggested_retry_delay_ms, memory_usage, metadata
    )
    SELECT c.public_id, c.public_id, c.tenant_id, c.mailbox_id, c.sync_job_id, c.id, p_lease_token, w.name, p_attempt,
        p_status, p_processing_time_ms, c.estimated_emails, p_emails,
        least(round(p_emails * 1000.0 / nullif(p_processing_time_ms, 0), 2), 9999999999), p_category, p_code,
        left(p_message, 2000), p_retry_delay_ms, p_memory_usage, p_metadata
    FROM sync_chunks c LEFT JOIN workers w ON w.id = p_worker_id WHERE c.id = p_chunk_id
$$;
