-- Record an attempt that was made outside the engine: one row, and nothing else changes. What is not given is taken
-- from the chunk (its tenant, mailbox, provider, estimate, number of attempts); the ratio is always computed: emails
-- saved per second, NULL at 0 ms. Returns the row's id; raises CS004 when there is no chunk of this public id.
CREATE OR REPLACE FUNCTION log_chunk_health_metrics(
    p_chunk_job_id uuid, p_worker_id text DEFAULT NULL, p_queue_id uuid DEFAULT NULL,
    p_attempt_number integer DEFAULT NULL, p_status attempt_status DEFAULT 'success',
    p_processing_time_ms integer DEFAULT 0, p_chunk_size integer DEFAULT NULL, p_emails_processed integer DEFAULT 0,
    p_error_category error_category DEFAULT NULL, p_error_message text DEFAULT NULL,
    p_suggested_retry_delay_ms integer DEFAULT NULL, p_memory_usage bigint DEFAULT NULL, p_metadata jsonb DEFAULT '{}'
) RETURNS uuid
LANGUAGE plpgsql VOLATILE SET search_path = chunk_sync, pg_temp AS $$
DECLARE
    v_id uuid;
BEGIN
    INSERT INTO chunked_sync_health_monitoring (
        chunk_job_id, queue_id, tenant_id, mailbox_id, sync_job_id, chunk_id, provider, worker_id, attempt_number,
            status,
        processing_time_ms, chunk_size, emails_processed, efficiency_ratio, error_category, error_message,
        suggested_retry_delay_ms, memory_usage, metadata
    )
    SELECT c.public_id, coalesce(p_queue_id, q.queue_id), c.tenant_id, c.mailbox_id, c.sync_job_id, c.id, l.provider,
        p_worker_id, coalesce(p_attempt_number, greatest(q.attempts, 1)), p_status, p_processing_time_ms,
        coalesce(p_chunk_size, c.estimated_emails), p_emails_processed,
        CASE WHEN p_processing_time_ms > 0 THEN least(p_emails_processed * 1000.0 / p_processing_time_ms,
            9999999999) END,
        CASE p_status WHEN 'success' THEN NULL WHEN 'error' THEN coalesce(p_error_category, 'unknown')
            ELSE coalesce(p_error_category, 'timeout') END,
        left(p_error_message, 2000), p_suggested_retry_delay_ms, p_memory_usage, coalesce(p_metadata, '{}')
    FROM sync_chunks c JOIN chunk_processing_queue q ON q.chunk_id = c.id
    JOIN mailbox_lanes l ON l.mailbox_id = c.mailbox_id
    WHERE c.public_id = p_chunk_job_id
    RETURNING id INTO v_id;
    IF v_id IS NULL THEN
        RAISE EXCEPTION 'no chunk %', p_chunk_job_id USING ERRCODE = 'CS004';
    END IF;
    RETURN v_id;
END $$;
