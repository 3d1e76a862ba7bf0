-- Run chunks of a planned job again: those that ended in one of these ways (only the failed ones, if nothing else is
-- said), all of the job or these indexes. They wait again with all their attempts, and the job is open again; what
-- waits or runs is left alone. Who did it and why is kept. Returns how many. Raises CS004 when there is no such job.
CREATE OR REPLACE FUNCTION reopen_sync_job(
    p_sync_job_id uuid, p_reason text, p_actor text DEFAULT current_user, p_run_id text DEFAULT NULL,
    p_statuses chunk_status[] DEFAULT '{failed}', p_indexes integer[] DEFAULT NULL
) RETURNS integer
LANGUAGE plpgsql VOLATILE SET search_path = chunk_sync, pg_temp AS $$
DECLARE
    v_job sync_jobs;
    v_chunks bigint[];
BEGIN
    SELECT * INTO v_job FROM sync_jobs AS j WHERE j.public_id = p_sync_job_id;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'no sync job %', p_sync_job_id USING ERRCODE = 'CS004';
    END IF;
    PERFORM lock_lanes(ARRAY[v_job.mailbox_id]); -- before they are looked at: none of them moves any more
    SELECT coalesce(array_agg(q.chunk_id), '{}') INTO v_chunks FROM chunk_processing_queue AS q
    WHERE q.sync_job_id = v_job.id AND q.status = ANY (p_statuses) AND q.status NOT IN ('pending', 'processing')
        AND (p_indexes IS NULL OR q.chunk_index = ANY (p_indexes));
    PERFORM reopen_chunks(v_job.id, v_chunks, 'chunks_reopened', p_reason, p_actor, p_run_id);
    RETURN cardinality(v_chunks);
END $$;
