-- An attempt has ended without a landing: its row among the attempts, then what the retry rules make of the chunk.
-- Returns when it is due again, NULL for a dead letter. The caller holds the lane and puts the chunk back.
CREATE OR REPLACE FUNCTION end_attempt(
    p_chunk chunk_processing_queue, p_status attempt_status, p_category error_category, p_message text, p_code text,
    p_retry_after_ms integer, p_processing_time_ms integer, p_metadata jsonb
) RETURNS timestamptz
LANGUAGE plpgsql VOLATILE SET search_path = chunk_sync, pg_temp AS $$
DECLARE
    v_now timestamptz := clock();
    v_provider text := (SELECT l.provider FROM mailbox_lanes AS l WHERE l.mailbox_id = p_chunk.mailbox_id);
    v_delay_ms integer;
    v_next timestamptz;
BEGIN
    INSERT INTO chunked_sync_health_monitoring (
        chunk_job_id, queue_id, tenant_id, mailbox_id, sync_job_id, chunk_id, lease_token, worker_id, attempt_number,
            status,
        processing_time_ms, chunk_size, efficiency_ratio, error_category, error_code, error_message, metadata,
            provider, created_at, requests
    )
    VALUES (p_chunk.queue_id, p_chunk.queue_id, p_chunk.tenant_id, p_chunk.mailbox_id, p_chunk.sync_job_id,
        p_chunk.chunk_id,
        p_chunk.lease_token, (SELECT w.name FROM workers AS w WHERE w.id = p_chunk.worker_id), p_chunk.attempts,
            p_status,
        p_processing_time_ms, p_chunk.estimated_emails, CASE WHEN p_processing_time_ms > 0 THEN 0 END, p_category,
            p_code,
        left(p_message, 2000), p_metadata, v_provider, v_now, (p_metadata ->> 'requests')::integer);
    IF p_status <> 'recovery' THEN
        v_delay_ms := retry_delay_ms(p_category, p_chunk.attempts, p_chunk.max_attempts, p_retry_after_ms,
            p_chunk.tenant_id, v_provider);
    ELSIF p_chunk.attempts < p_chunk.max_attempts AND p_chunk.lost_leases + 1 < (SELECT r.lost_leases_limit
        FROM queue_rules AS r) THEN
        v_delay_ms := 0;
    END IF;
    v_next := v_now + v_delay_ms * interval '1 millisecond';
    UPDATE chunk_processing_queue AS q
    SET status = CASE WHEN v_next IS NULL THEN 'failed' ELSE 'pending' END::chunk_status, error_category = p_category,
        worker_id = CASE WHEN v_next IS NULL THEN q.worker_id END, available_at = coalesce(v_next, q.available_at),
        turn_at = CASE WHEN v_next IS NULL THEN q.turn_at END, completed_at = CASE WHEN v_next IS NULL THEN v_now END,
        lost_leases = q.lost_leases + CASE WHEN p_status = 'recovery' THEN 1 ELSE 0 END
    WHERE q.chunk_id = p_chunk.chunk_id;
    UPDATE chunked_sync_health_monitoring AS a SET suggested_retry_delay_ms = v_delay_ms
    WHERE a.sync_job_id = p_chunk.sync_job_id AND a.chunk_id = p_chunk.chunk_id AND a.lease_token = p_chunk.lease_token
        AND a.status = p_status;
    IF v_next IS NULL THEN
        UPDATE sync_jobs SET error_category = p_category, error_message = left(p_message, 2000)
            WHERE id = p_chunk.sync_job_id;
        PERFORM settle_sync_job(p_chunk.sync_job_id, 0, 1, 0, 0, 0);
    END IF;
    RETURN v_next;
END $$;
