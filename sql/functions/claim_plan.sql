-- Take a requested job for planning. Returns the plan attempt's number, or NULL when the job is not to be planned
-- now: taken, not due, or waiting for an earlier sync of the same mailbox that moves the cursor.
CREATE OR REPLACE FUNCTION claim_plan(p_sync_job_id bigint, p_worker_id bigint) RETURNS smallint
LANGUAGE plpgsql VOLATILE SET search_path = chunk_sync, pg_temp AS $$
DECLARE
    v_attempt smallint;
BEGIN
    UPDATE sync_jobs j
    SET status = 'planning', plan_attempts = plan_attempts + 1, plan_worker_id = p_worker_id,
        started_at = coalesce(started_at, clock())
    WHERE j.id = p_sync_job_id AND j.status = 'requested' AND j.plan_available_at <= clock() AND plan_is_free(j.id)
    RETURNING plan_attempts INTO v_attempt;
    RETURN v_attempt;
END $$;
