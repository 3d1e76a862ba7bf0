-- Delete one batch of everything that is past its retention: at most p_limit rows of each table. Call it until it
-- answers 0 for all of them, each time in a transaction of its own. Rows that somebody has locked are left for later.
CREATE OR REPLACE FUNCTION delete_expired(p_limit integer DEFAULT 5000) RETURNS TABLE (what text, deleted integer)
LANGUAGE plpgsql VOLATILE SET search_path = chunk_sync, pg_temp AS $$
#variable_conflict use_column
DECLARE
    v_jobs record;
    v_rule record;
BEGIN
    -- A row of these goes so long after a moment of its own; NULL there: never.
    FOR v_rule IN SELECT * FROM (VALUES
        ('attempts', 'chunked_sync_health_monitoring', 'created_at'),
        ('archived_jobs', 'archived_sync_jobs', 'archived_at'),
        ('dispatches', 'dispatches', 'ended_at'),
        ('audit_log', 'audit_log', 'at'),
        ('attempt_hours', 'attempt_hours', 'hour'),
        ('health_history', 'health_history', 'at'),
        ('forecasts', 'forecasts', 'made_at'),
        ('alerts', 'alerts', 'resolved_at'),
        ('alerts', 'alert_silences', 'ends_at')
    ) AS r (what, relation, moment) LOOP
        EXECUTE format(
            'DELETE FROM %1$I AS d WHERE d.ctid = ANY (ARRAY('
            'SELECT x.ctid FROM %1$I AS x WHERE x.%2$I < $1 LIMIT $2 FOR UPDATE SKIP LOCKED))',
            v_rule.relation, v_rule.moment
        ) USING expired_before(v_rule.what), p_limit;
        what := v_rule.relation;
        GET DIAGNOSTICS deleted = ROW_COUNT;
        RETURN NEXT;
    END LOOP;

    SELECT * INTO v_jobs FROM delete_expired_jobs(p_limit);
    RETURN QUERY VALUES ('sync_chunks', v_jobs.chunks), ('sync_jobs', v_jobs.jobs);

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
END $$;
