-- Cancel a sync job, or all open jobs of a mailbox or a tenant: no chunk of theirs is claimed any more, and one that
-- runs is fenced off, so that it stops at its next page. What has landed stays. Returns how many chunks were
-- cancelled.
CREATE OR REPLACE FUNCTION cancel_sync(
    p_scope sync_scope, p_public_id uuid, p_reason text, p_actor text DEFAULT current_user, p_run_id text DEFAULT NULL
) RETURNS integer
LANGUAGE plpgsql VOLATILE SET search_path = chunk_sync, pg_temp AS $$
DECLARE
    v_now timestamptz := clock();
    v_job record;
    v_running chunk_processing_queue[] := '{}';
    v_count integer;
    v_total integer := 0;
BEGIN
    -- All of its lanes: a job may open yet.
    PERFORM lock_lanes(ARRAY(SELECT l.mailbox_id FROM paused_lanes(p_scope, p_public_id) AS l));
    FOR v_job IN SELECT j.* FROM sync_jobs_in(p_scope, p_public_id) AS j LOOP
        v_running := v_running || ARRAY(
            SELECT q FROM chunk_processing_queue AS q WHERE q.sync_job_id = v_job.id AND q.status = 'processing'
        );
        UPDATE chunk_processing_queue AS q
        SET status = 'cancelled', completed_at = v_now, turn_at = least(coalesce(q.turn_at, q.available_at),
            q.available_at)
        WHERE q.sync_job_id = v_job.id AND q.status IN ('pending', 'processing');
        GET DIAGNOSTICS v_count = ROW_COUNT;
        PERFORM refresh_lane(v_job.mailbox_id);
        UPDATE sync_jobs AS j SET status = 'cancelled', completed_at = v_now, plan_worker_id = NULL
        WHERE j.id = v_job.id AND j.status IN ('requested', 'planning');
        IF NOT FOUND THEN
            PERFORM settle_sync_job(v_job.id, 0, 0, v_count, 0, 0);
        END IF;
        INSERT INTO audit_log (actor, action, tenant_id, sync_job_id, chunks_affected, reason, run_id, details)
        VALUES (p_actor, 'sync_cancelled', v_job.tenant_id, v_job.id, v_count, p_reason, p_run_id,
            jsonb_build_object('scope', p_scope));
        v_total := v_total + v_count;
    END LOOP;
    PERFORM put_back(v_running);
    RETURN v_total;
END $$;
