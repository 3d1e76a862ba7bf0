-- Run a chunk again by hand: a failed, cancelled or completed one becomes pending with all its attempts, a pending
-- one is made due now, one that is being processed is left alone. Returns the status it had; NULL when there is no
-- such chunk.
CREATE OR REPLACE FUNCTION reopen_chunk(p_chunk_id bigint, p_reason text, p_actor text DEFAULT current_user,
    p_run_id text DEFAULT NULL)
RETURNS chunk_status
LANGUAGE sql VOLATILE SET search_path = chunk_sync, pg_temp AS $$
    SELECT r.was FROM chunk_processing_queue AS q
    CROSS JOIN LATERAL reopen_chunks(q.sync_job_id, ARRAY[p_chunk_id], 'chunk_reopened', p_reason, p_actor,
        p_run_id) AS r
    WHERE q.chunk_id = p_chunk_id
$$;
