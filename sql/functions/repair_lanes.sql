-- Put right what lane_drift finds, and keep a row of it: counted again, looked at from the start. Returns the lanes.
CREATE OR REPLACE FUNCTION repair_lanes() RETURNS integer
LANGUAGE plpgsql VOLATILE SET search_path = chunk_sync, pg_temp AS $$
DECLARE
    v_drift record;
    v_count integer := 0;
BEGIN
    FOR v_drift IN
        SELECT d.mailbox_id, jsonb_agg(to_jsonb(d)) AS details FROM lane_drift() AS d GROUP BY d.mailbox_id
            ORDER BY d.mailbox_id
    LOOP
        PERFORM lock_lanes(ARRAY[v_drift.mailbox_id]);
        UPDATE workers AS w SET held = w.held || q.chunk_ids, ended_at = NULL FROM (  -- its lease ends it
            SELECT c.worker_id, array_agg(c.chunk_id) AS chunk_ids FROM chunk_processing_queue AS c
            WHERE c.mailbox_id = v_drift.mailbox_id AND c.status = 'processing'
                AND NOT EXISTS (SELECT FROM workers AS x WHERE x.id = c.worker_id AND c.chunk_id = ANY (x.held))
            GROUP BY c.worker_id
        ) AS q WHERE w.id = q.worker_id;
        UPDATE mailbox_lanes AS l SET running = (
            SELECT count(*) FROM chunk_processing_queue AS q WHERE q.mailbox_id = l.mailbox_id
                AND q.status = 'processing'
        ) WHERE l.mailbox_id = v_drift.mailbox_id;
        PERFORM refresh_lane(v_drift.mailbox_id, 'epoch'::timestamptz, 0);
        INSERT INTO audit_log (actor, action, reason, details) VALUES ('maintenance', 'lane_repaired', 'drift',
            v_drift.details);
        v_count := v_count + 1;
    END LOOP;
    RETURN v_count;
END $$;
