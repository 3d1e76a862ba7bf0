-- Say to listeners on the channel chunk_sync_work that there is work: a hint that saves them a poll and no more, for
-- the queue is the truth. At most once a second a job, and kept as a count on its row. True when it was said.
CREATE OR REPLACE FUNCTION trigger_next_chunk_processing(p_parent_sync_job_id uuid) RETURNS boolean
LANGUAGE plpgsql VOLATILE SET search_path = chunk_sync, pg_temp AS $$
DECLARE
    v_now timestamptz := clock();
BEGIN
    UPDATE sync_jobs SET wake_ups = wake_ups + 1, woken_at = v_now
    WHERE public_id = p_parent_sync_job_id AND (woken_at IS NULL OR woken_at <= v_now - interval '1 s');
    IF FOUND THEN
        PERFORM pg_notify('chunk_sync_work', p_parent_sync_job_id::text);
        RETURN true;
    END IF;
    RETURN false;
END $$;
