-- Count chunks of one job, see settle_sync_jobs. Returns the job's status.
CREATE OR REPLACE FUNCTION settle_sync_job(
    p_sync_job_id bigint, p_completed integer, p_failed integer, p_cancelled integer, p_emails bigint, p_bytes bigint
) RETURNS sync_job_status
LANGUAGE plpgsql VOLATILE SET search_path = chunk_sync, pg_temp AS $$
BEGIN
    PERFORM settle_sync_jobs(ARRAY[(p_sync_job_id, p_completed, p_failed, p_cancelled, p_emails, p_bytes)::job_counts]);
    RETURN (SELECT j.status FROM sync_jobs AS j WHERE j.id = p_sync_job_id);
END $$;
