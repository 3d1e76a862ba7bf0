-- Look again at lanes whose time has come: a chunk fell due, a pause is over, the first chunk has grown older. Returns
-- how many were looked at. A lane that somebody holds is left for the next time.
CREATE OR REPLACE FUNCTION wake_lanes(p_limit integer DEFAULT 100) RETURNS integer
LANGUAGE plpgsql VOLATILE SET search_path = chunk_sync, pg_temp AS $$
DECLARE
    v_now timestamptz := clock();
    v_mailbox_id bigint;
    v_count integer := 0;
BEGIN
    FOR v_mailbox_id IN
        SELECT l.mailbox_id FROM mailbox_lanes AS l WHERE l.wake_at <= v_now
        ORDER BY l.wake_at LIMIT p_limit FOR NO KEY UPDATE SKIP LOCKED
    LOOP
        PERFORM refresh_lane(v_mailbox_id);
        v_count := v_count + 1;
    END LOOP;
    RETURN v_count;
END $$;
