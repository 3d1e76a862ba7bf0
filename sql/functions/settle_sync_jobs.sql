-- Count chunks that just ended (or were re-opened, with negative counts) into their jobs, and close a job when its last
-- chunk ended. The caller holds the mailboxes' lanes, so whoever ends the last chunk closes the job, exactly once.
CREATE OR REPLACE FUNCTION settle_sync_jobs(p_counts job_counts[]) RETURNS void
LANGUAGE plpgsql VOLATILE SET search_path = chunk_sync, pg_temp SET plan_cache_mode = force_generic_plan AS $$
DECLARE
    v_now timestamptz := clock();
    v_turned record;
BEGIN
    FOR v_turned IN
        UPDATE sync_jobs AS j
        SET completed_chunks = j.completed_chunks + c.completed, failed_chunks = j.failed_chunks + c.failed,
            cancelled_chunks = j.cancelled_chunks + c.cancelled,
            emails_processed = j.emails_processed + c.emails, bytes_processed = j.bytes_processed + c.bytes,
            last_completed_at = CASE WHEN c.completed > 0 THEN v_now ELSE j.last_completed_at END
        FROM unnest(p_counts) AS c WHERE j.id = c.sync_job_id
        RETURNING j.id, j.status, CASE
            WHEN j.completed_chunks + j.failed_chunks + j.cancelled_chunks < j.total_chunks THEN 'processing'
            WHEN j.failed_chunks > 0 THEN 'failed'
            WHEN j.cancelled_chunks > 0 THEN 'cancelled'
            ELSE 'completed'
        END::sync_job_status AS becomes
    LOOP
        IF v_turned.status <> v_turned.becomes THEN
            PERFORM turn_sync_job(v_turned.id, v_turned.becomes);
        END IF;
    END LOOP;
END $$;
