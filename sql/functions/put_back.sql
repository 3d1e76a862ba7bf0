-- The lanes' side of chunks that have stopped running, given as they were while they ran: room, and the first chunk.
-- The caller holds the lanes and has changed the chunks.
CREATE OR REPLACE FUNCTION put_back(p_chunks chunk_processing_queue[]) RETURNS void
LANGUAGE plpgsql VOLATILE SET search_path = chunk_sync, pg_temp AS $$
DECLARE
    v_lane record;
BEGIN
    FOR v_lane IN
        SELECT c.mailbox_id, array_agg(c.chunk_id) AS chunk_ids, (array_agg(c.turn_at ORDER BY c.turn_at,
            c.chunk_id))[1] AS turn_at,
            (array_agg(c.chunk_id ORDER BY c.turn_at, c.chunk_id))[1] AS chunk_id
        FROM unnest(p_chunks) AS c GROUP BY c.mailbox_id ORDER BY c.mailbox_id
    LOOP
        UPDATE mailbox_lanes AS l SET held = ARRAY(SELECT h.id FROM unnest(l.held) AS h (id)
            WHERE h.id <> ALL (v_lane.chunk_ids)) WHERE l.mailbox_id = v_lane.mailbox_id;
        PERFORM refresh_lane(v_lane.mailbox_id, v_lane.turn_at, v_lane.chunk_id);
    END LOOP;
END $$;
