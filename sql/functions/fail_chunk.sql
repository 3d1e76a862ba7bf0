-- This attempt failed: the database decides between pending (due later) and failed (dead letter).
-- A failure of the whole account pauses the mailbox's lane until the chunk is due again; one that will not be
-- retried also ends the job's other pending chunks, without using their attempts: they can be re-opened.
CREATE OR REPLACE FUNCTION fail_chunk(
    p_chunk_id bigint, p_lease_token bigint, p_category error_category, p_message text, p_code text DEFAULT NULL,
    p_retry_after_ms integer DEFAULT NULL, p_account_scope boolean DEFAULT false, p_processing_time_ms integer DEFAULT 0,
    p_metadata jsonb DEFAULT '{}'
) RETURNS TABLE (accepted boolean, chunk_status chunk_status, next_attempt_at timestamptz)
LANGUAGE plpgsql VOLATILE SET search_path = chunk_sync, pg_temp AS $$
#variable_conflict use_column
DECLARE
    v_now timestamptz := clock();
    v_queue chunk_processing_queue;
    v_delay_ms integer;
    v_next timestamptz;
    v_failed integer := 0;
    v_status attempt_status := CASE WHEN p_category = 'timeout' THEN 'timeout' ELSE 'error' END;
BEGIN
    SELECT * INTO v_queue FROM chunk_processing_queue q
    WHERE q.chunk_id = p_chunk_id AND q.lease_token = p_lease_token AND q.status = 'processing' FOR NO KEY UPDATE;
    IF NOT FOUND THEN
        RETURN QUERY SELECT false, NULL::chunk_status, NULL::timestamptz;
        RETURN;
    END IF;
    v_delay_ms := retry_delay_ms(p_category, v_queue.attempts, v_queue.max_attempts, p_retry_after_ms);
    v_next := v_now + make_interval(secs => v_delay_ms / 1000.0);
    UPDATE chunk_processing_queue q
    SET status = CASE WHEN v_delay_ms IS NULL THEN 'failed' ELSE 'pending' END::chunk_status, worker_id = NULL,
        available_at = coalesce(v_next, q.available_at), error_category = p_category,
        completed_at = CASE WHEN v_delay_ms IS NULL THEN v_now END
    WHERE q.chunk_id = p_chunk_id;
    PERFORM record_attempt(p_chunk_id, p_lease_token, v_queue.attempts, v_status, p_processing_time_ms, 0, p_category,
        p_code, p_message, v_delay_ms, NULL, p_metadata, v_queue.worker_id);
    IF p_account_scope AND v_next IS NOT NULL THEN
        UPDATE mailbox_lanes l SET not_before = greatest(l.not_before, v_next) WHERE l.mailbox_id = v_queue.mailbox_id;
    END IF;
    IF v_delay_ms IS NULL THEN
        v_failed := 1;
        IF p_account_scope THEN
            v_failed := v_failed + fail_pending_chunks(v_queue.sync_job_id, p_category);
        END IF;
        UPDATE sync_jobs SET error_category = p_category, error_message = left(p_message, 2000) WHERE id = v_queue.sync_job_id;
    END IF;
    PERFORM settle_sync_job(v_queue.sync_job_id, 0, v_failed, 0, 0, 0);
    RETURN QUERY SELECT true, CASE WHEN v_delay_ms IS NULL THEN 'failed' ELSE 'pending' END::chunk_status, v_next;
END $$;
