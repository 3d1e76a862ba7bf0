-- Archive an ended sync job by its public id: what is left of it is kept in archived_sync_jobs, who did it and why in
-- the audit log. A failed job goes a week after this; re-opening one of its chunks keeps it. Raises CS004 when there is
-- no such job, CS006 when it has not ended.
CREATE OR REPLACE FUNCTION archive_sync_job(
    p_sync_job_id uuid, p_reason text, p_actor text DEFAULT current_user, p_run_id text DEFAULT NULL
) RETURNS void
LANGUAGE plpgsql VOLATILE SET search_path = chunk_sync, pg_temp AS $$
DECLARE
    v_job sync_jobs;
BEGIN
    SELECT * INTO v_job FROM sync_jobs j WHERE j.public_id = p_sync_job_id FOR UPDATE;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'no sync job %', p_sync_job_id USING ERRCODE = 'CS004';
    ELSIF v_job.status NOT IN ('completed', 'failed', 'cancelled') THEN
        RAISE EXCEPTION 'sync job % has not ended: it is %', p_sync_job_id, v_job.status USING ERRCODE = 'CS006';
    END IF;
    PERFORM archive_job(v_job.id, p_reason, p_actor);
    INSERT INTO audit_log (actor, action, tenant_id, sync_job_id, chunks_affected, reason, run_id)
    VALUES (p_actor, 'sync_job_archived', v_job.tenant_id, v_job.id, v_job.failed_chunks, p_reason, p_run_id);
END $$;
