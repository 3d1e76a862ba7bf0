-- Delete one batch of everything that is past its retention: at most p_limit rows of each table. Call it until it
-- answers 0 for all of them, each time in a transaction of its own. Rows that somebody has locked are left for later.
CREATE OR REPLACE FUNCTION delete_expired(p_limit integer DEFAULT 5000) RETURNS TABLE (what text, deleted integer)
LANGUAGE plpgsql VOLATILE SET search_path = chunk_sync, pg_temp AS $$
#variable_conflict use_column
DECLARE
    v_jobs record;
BEGIN
    DELETE FROM chunked_sync_health_monitoring h WHERE h.ctid = ANY (ARRAY(
        SELECT x.ctid FROM chunked_sync_health_monitoring x
        WHERE x.created_at < (SELECT expired_before('attempts')) LIMIT p_limit FOR UPDATE SKIP LOCKED
    ));
    what := 'chunked_sync_health_monitoring';
    GET DIAGNOSTICS deleted = ROW_COUNT;
    RETURN NEXT;

    SELECT * INTO v_jobs FROM delete_expired_jobs(p_limit);
    RETURN QUERY VALUES ('sync_chunks', v_jobs.chunks), ('sync_jobs', v_jobs.jobs);

    DELETE FROM archived_sync_jobs a WHERE a.sync_job_id = ANY (ARRAY(
        SELECT x.sync_job_id FROM archived_sync_jobs x
        WHERE x.archived_at < (SELECT expired_before('archived_jobs')) LIMIT p_limit FOR UPDATE SKIP LOCKED
    ));
    what := 'archived_sync_jobs';
    GET DIAGNOSTICS deleted = ROW_COUNT;
    RETURN NEXT;

    DELETE FROM dispatches d WHERE d.id = ANY (ARRAY(
        SELECT x.id FROM dispatches x
        WHERE x.ended_at < (SELECT expired_before('dispatches')) LIMIT p_limit FOR UPDATE SKIP LOCKED
    ));
    what := 'dispatches';
    GET DIAGNOSTICS deleted = ROW_COUNT;
    RETURN NEXT;

    DELETE FROM workers w WHERE w.id = ANY (ARRAY(
        SELECT x.id FROM workers x
        WHERE x.ended_at < (SELECT expired_before('workers'))
            AND x.id <> ALL (ARRAY(SELECT h.worker_id FROM held_by(NULL) AS h))
            AND NOT EXISTS (SELECT FROM dispatches d WHERE d.worker_id = x.id)
            AND NOT EXISTS (SELECT FROM sync_jobs j WHERE j.plan_worker_id = x.id)
        LIMIT p_limit FOR UPDATE SKIP LOCKED
    ));
    what := 'workers';
    GET DIAGNOSTICS deleted = ROW_COUNT;
    RETURN NEXT;

    DELETE FROM audit_log l WHERE l.id = ANY (ARRAY(
        SELECT x.id FROM audit_log x
        WHERE x.at < (SELECT expired_before('audit_log')) LIMIT p_limit FOR UPDATE SKIP LOCKED
    ));
    what := 'audit_log';
    GET DIAGNOSTICS deleted = ROW_COUNT;
    RETURN NEXT;
END $$;
