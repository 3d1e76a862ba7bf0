-- End a job's pending chunks without using their attempts (the account itself is out of order). Returns how
-- many; the caller settles the job with that number.
CREATE OR REPLACE FUNCTION fail_pending_chunks(p_sync_job_id bigint, p_category error_category) RETURNS integer
LANGUAGE plpgsql VOLATILE SET search_path = chunk_sync, pg_temp AS $$
DECLARE
    v_count integer;
BEGIN
    UPDATE chunk_processing_queue SET status = 'failed', completed_at = clock(), error_category = p_category
    WHERE chunk_id IN (
        SELECT q.chunk_id FROM chunk_processing_queue q
        WHERE q.sync_job_id = p_sync_job_id AND q.status = 'pending' ORDER BY q.chunk_id FOR UPDATE SKIP LOCKED
    );
    GET DIAGNOSTICS v_count = ROW_COUNT;
    RETURN v_count;
END $$;
