-- Give back jobs whose planner died (its lease ran out, or its run is known to be dead); the third time the job fails.
CREATE OR REPLACE FUNCTION recover_plans(p_run_ids text[] DEFAULT '{}') RETURNS integer
LANGUAGE plpgsql VOLATILE SET search_path = chunk_sync, pg_temp AS $$
DECLARE
    v_row record;
    v_count integer := 0;
BEGIN
    FOR v_row IN
        SELECT j.id, j.tenant_id, j.plan_worker_id, w.run_id FROM sync_jobs j JOIN workers w ON w.id = j.plan_worker_id
        WHERE j.status = 'planning' AND (w.lease_until < clock() OR w.ended_at IS NOT NULL
            OR w.run_id = ANY (p_run_ids))
        ORDER BY j.id FOR UPDATE OF j SKIP LOCKED
    LOOP
        PERFORM fail_plan(v_row.id, v_row.plan_worker_id, 'timeout', 'the planner gave no sign of life');
        INSERT INTO audit_log (actor, action, tenant_id, sync_job_id, reason, run_id)
        VALUES ('recovery', 'plan_reset', v_row.tenant_id, v_row.id, 'lease expired', v_row.run_id);
        v_count := v_count + 1;
    END LOOP;
    RETURN v_count;
END $$;
