-- Take back the chunks of workers that gave their last sign of life more than p_timeout_minutes ago, whatever their
-- lease says. One row: how many, which, and what became of each.
CREATE OR REPLACE FUNCTION reset_stuck_chunks(p_timeout_minutes integer DEFAULT 10)
RETURNS TABLE (reset_count integer, chunk_ids bigint[], recovery_details jsonb)
LANGUAGE sql VOLATILE SET search_path = chunk_sync, pg_temp AS $$
    WITH silent AS MATERIALIZED (
        SELECT w.id, w.name, w.heartbeat_at FROM workers AS w
        WHERE w.ended_at IS NULL AND w.heartbeat_at < clock() - p_timeout_minutes * interval '1 minute'
    )
    SELECT count(*)::integer, coalesce(array_agg(r.chunk_id), '{}'), coalesce(jsonb_agg(jsonb_build_object(
        'chunk_id', r.chunk_id, 'status', r.chunk_status, 'attempts', r.attempts, 'worker', s.name,
        'last_sign_of_life', s.heartbeat_at, 'started_at', r.started_at
    )), '[]')
    FROM recover_chunks(
        ARRAY(SELECT h.chunk_id FROM held_by(ARRAY(SELECT s.id FROM silent AS s)) AS h),
        ARRAY(SELECT s.id FROM silent AS s),
        format('no sign of life for %s minutes', p_timeout_minutes)
    ) AS r
    INNER JOIN silent AS s ON s.id = r.worker_id
$$;
