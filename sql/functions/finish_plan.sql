-- The plan's chunks are inserted: open the job, or close it when there was nothing to do. Fenced by the worker:
-- a planner that was given up raises CS001, and its chunks go with the transaction.
CREATE OR REPLACE FUNCTION finish_plan(p_sync_job_id bigint, p_worker_id bigint) RETURNS sync_job_status
LANGUAGE plpgsql VOLATILE SET search_path = chunk_sync, pg_temp AS $$
DECLARE
    v_total record;
BEGIN
    SELECT count(*)::integer AS chunks, coalesce(sum(estimated_emails), 0) AS emails, coalesce(sum(estimated_bytes), 0) AS bytes
    INTO v_total FROM sync_chunks WHERE sync_job_id = p_sync_job_id;
    UPDATE sync_jobs
    SET status = 'processing', plan_worker_id = NULL, total_chunks = v_total.chunks,
        emails_estimated = v_total.emails, bytes_estimated = v_total.bytes, error_category = NULL, error_message = NULL
    WHERE id = p_sync_job_id AND status = 'planning' AND plan_worker_id = p_worker_id;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'the plan of job % was given to another worker', p_sync_job_id USING ERRCODE = 'CS001';
    END IF;
    RETURN settle_sync_job(p_sync_job_id, 0, 0, 0, 0, 0);
END $$;
