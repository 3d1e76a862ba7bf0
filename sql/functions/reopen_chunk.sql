-- Run a chunk again by hand: a failed, cancelled or completed one becomes pending with all its attempts; the old
-- lease stays dead, the job is open again, and who did it and why is kept. A pending one is made due now.
-- Returns the status it had; NULL when there is no such chunk. One that is being processed is left alone.
CREATE OR REPLACE FUNCTION reopen_chunk(p_chunk_id bigint, p_reason text, p_actor text DEFAULT current_user, p_run_id text DEFAULT NULL)
RETURNS chunk_status
LANGUAGE plpgsql VOLATILE SET search_path = chunk_sync, pg_temp AS $$
DECLARE
    v_queue chunk_processing_queue;
    v_chunk sync_chunks;
BEGIN
    SELECT * INTO v_queue FROM chunk_processing_queue WHERE chunk_id = p_chunk_id FOR UPDATE;
    IF NOT FOUND OR v_queue.status = 'processing' THEN
        RETURN v_queue.status;
    END IF;
    UPDATE chunk_processing_queue
    SET status = 'pending', attempts = CASE WHEN v_queue.status = 'pending' THEN attempts ELSE 0 END,
        lost_leases = CASE WHEN v_queue.status = 'pending' THEN lost_leases ELSE 0 END,
        available_at = clock(), completed_at = NULL
    WHERE chunk_id = p_chunk_id;
    IF v_queue.status = 'pending' THEN
        RETURN v_queue.status;
    END IF;
    SELECT * INTO STRICT v_chunk FROM sync_chunks WHERE id = p_chunk_id;
    UPDATE sync_chunks SET emails_inserted = 0, emails_unchanged = 0, emails_absent = 0, emails_quarantined = 0,
        bytes_processed = 0, reported_at = NULL
    WHERE id = p_chunk_id;
    INSERT INTO audit_log (actor, action, tenant_id, sync_job_id, chunks_affected, reason, run_id, details)
    VALUES (p_actor, 'chunk_reopened', v_queue.tenant_id, v_queue.sync_job_id, 1, p_reason, p_run_id,
        jsonb_build_object('chunk_id', p_chunk_id, 'was', v_queue.status));
    PERFORM settle_sync_job(v_queue.sync_job_id,
        CASE WHEN v_queue.status = 'completed' THEN -1 ELSE 0 END, CASE WHEN v_queue.status = 'failed' THEN -1 ELSE 0 END,
        CASE WHEN v_queue.status = 'cancelled' THEN -1 ELSE 0 END,
        -(v_chunk.emails_inserted + v_chunk.emails_unchanged + v_chunk.emails_absent + v_chunk.emails_quarantined),
        -v_chunk.bytes_processed);
    RETURN v_queue.status;
END $$;
