-- End a job's pending chunks without using their attempts (the account itself is out of order). Returns how
-- many; the caller holds the lane and settles the job with that number.
CREATE OR REPLACE FUNCTION fail_pending_chunks(p_sync_job_id bigint, p_category error_category) RETURNS integer
LANGUAGE plpgsql VOLATILE SET search_path = chunk_sync, pg_temp AS $$
DECLARE
    v_count integer;
BEGIN
    UPDATE chunk_processing_queue
    SET status = 'failed', completed_at = clock(), error_category = p_category, turn_at = coalesce(turn_at,
        available_at)
    WHERE sync_job_id = p_sync_job_id AND status = 'pending';
    GET DIAGNOSTICS v_count = ROW_COUNT;
    PERFORM refresh_lane(j.mailbox_id) FROM sync_jobs AS j WHERE j.id = p_sync_job_id;
    RETURN v_count;
END $$;
