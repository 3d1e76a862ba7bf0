-- Planning failed: the retry policy decides between another attempt later and a failed job.
CREATE OR REPLACE FUNCTION fail_plan(
    p_sync_job_id bigint, p_worker_id bigint, p_category error_category, p_message text,
    p_retry_after_ms integer DEFAULT NULL
) RETURNS TABLE (status sync_job_status, next_attempt_at timestamptz)
LANGUAGE plpgsql VOLATILE SET search_path = chunk_sync, pg_temp AS $$
#variable_conflict use_column
DECLARE
    v_delay_ms integer;
BEGIN
    SELECT retry_delay_ms(p_category, j.plan_attempts, 3, p_retry_after_ms, j.tenant_id, l.provider) INTO v_delay_ms
    FROM sync_jobs j JOIN mailbox_lanes l ON l.mailbox_id = j.mailbox_id WHERE j.id = p_sync_job_id;
    RETURN QUERY
    UPDATE sync_jobs j
    SET status = CASE WHEN v_delay_ms IS NULL THEN 'failed' ELSE 'requested' END::sync_job_status,
        plan_available_at = clock() + make_interval(secs => coalesce(v_delay_ms, 0) / 1000.0),
        plan_dispatched_until = 'epoch', plan_worker_id = NULL,
        completed_at = CASE WHEN v_delay_ms IS NULL THEN clock() END,
        error_category = p_category, error_message = left(p_message, 2000)
    WHERE j.id = p_sync_job_id AND j.status = 'planning' AND j.plan_worker_id = p_worker_id
    RETURNING j.status, j.plan_available_at;
END $$;
