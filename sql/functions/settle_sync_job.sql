-- Count chunks that just ended (or were re-opened, with negative counts) into their job, and close the job
-- when its last chunk ended. The caller's transaction takes the job's row lock here, so whoever ends the
-- last chunk closes the job, exactly once. A job that completes moves the cursors of its folders.
CREATE OR REPLACE FUNCTION settle_sync_job(
    p_sync_job_id bigint, p_completed integer, p_failed integer, p_cancelled integer, p_emails bigint, p_bytes bigint
) RETURNS sync_job_status
LANGUAGE plpgsql VOLATILE SET search_path = chunk_sync, pg_temp AS $$
DECLARE
    v_job sync_jobs;
    v_status sync_job_status;
BEGIN
    UPDATE sync_jobs
    SET completed_chunks = completed_chunks + p_completed, failed_chunks = failed_chunks + p_failed,
        cancelled_chunks = cancelled_chunks + p_cancelled,
        emails_processed = emails_processed + p_emails, bytes_processed = bytes_processed + p_bytes,
        last_completed_at = CASE WHEN p_completed > 0 THEN clock() ELSE last_completed_at END
    WHERE id = p_sync_job_id
    RETURNING * INTO STRICT v_job;
    v_status := CASE
        WHEN v_job.completed_chunks + v_job.failed_chunks + v_job.cancelled_chunks < v_job.total_chunks THEN 'processing'
        WHEN v_job.failed_chunks > 0 THEN 'failed'
        WHEN v_job.cancelled_chunks > 0 THEN 'cancelled'
        ELSE 'completed'
    END;
    IF v_status = v_job.status THEN
        RETURN v_status;
    END IF;
    UPDATE sync_jobs SET status = v_status,
        completed_at = CASE WHEN v_status <> 'processing' THEN clock() END,
        error_category = CASE WHEN v_status = 'failed' THEN v_job.error_category END,
        error_message = CASE WHEN v_status = 'failed' THEN v_job.error_message END
    WHERE id = p_sync_job_id;
    IF v_status = 'completed' AND v_job.sync_from IS NULL AND v_job.sync_to IS NULL THEN
        UPDATE folders f SET synced_uid = greatest(f.synced_uid, j.synced_uid) FROM sync_job_folders j
        WHERE j.sync_job_id = p_sync_job_id AND f.id = j.folder_id AND f.uidvalidity = j.uidvalidity;
    END IF;
    RETURN v_status;
END $$;
