-- Put right what lane_drift finds, and keep a row of it: counted again, looked at from the start. Returns the lanes.
CREATE OR REPLACE FUNCTION repair_lanes() RETURNS integer
LANGUAGE plpgsql VOLATILE SET search_path = chunk_sync, pg_temp AS $$
DECLARE
    v_mailbox_ids bigint[] := ARRAY(SELECT DISTINCT d.mailbox_id FROM lane_drift() AS d);
    v_drift record;
    v_count integer := 0;
BEGIN
    IF v_mailbox_ids = '{}' THEN
        RETURN 0;
    END IF;
    PERFORM lock_lanes(v_mailbox_ids);
    FOR v_drift IN                               -- looked at again, under the locks
        SELECT d.mailbox_id, jsonb_agg(to_jsonb(d)) AS details FROM lane_drift() AS d
        WHERE d.mailbox_id = ANY (v_mailbox_ids) GROUP BY d.mailbox_id ORDER BY d.mailbox_id
    LOOP
        UPDATE mailbox_lanes AS l SET held = ARRAY(
            SELECT q.chunk_id FROM chunk_processing_queue AS q WHERE q.mailbox_id = l.mailbox_id
                AND q.status = 'processing'
        ) WHERE l.mailbox_id = v_drift.mailbox_id;
        PERFORM refresh_lane(v_drift.mailbox_id, 'epoch'::timestamptz, 0);
        INSERT INTO audit_log (actor, action, reason, details) VALUES ('maintenance', 'lane_repaired', 'drift',
            v_drift.details);
        v_count := v_count + 1;
    END LOOP;
    -- Who has ended and has a chunk that runs has not ended: its lease does.
    UPDATE workers AS w SET ended_at = NULL WHERE w.id = ANY (ARRAY(
        SELECT x.id FROM chunk_processing_queue AS q INNER JOIN workers AS x ON x.id = q.worker_id
        WHERE q.status = 'processing' AND x.ended_at IS NOT NULL
    ));
    RETURN v_count;
END $$;
