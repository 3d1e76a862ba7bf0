-- The chunks that these workers hold (NULL: all), by what the lanes say. Reads all lanes: for recovery and goodbyes.
CREATE OR REPLACE FUNCTION held_by(p_worker_ids bigint[])
RETURNS TABLE (worker_id bigint, chunk_id bigint, lease_token bigint)
LANGUAGE sql STABLE SET search_path = chunk_sync, pg_temp AS $$
    SELECT q.worker_id, q.chunk_id, q.lease_token
    FROM mailbox_lanes AS l CROSS JOIN unnest(l.held) AS h (id) INNER JOIN chunk_processing_queue AS q
        ON q.chunk_id = h.id
    WHERE l.held <> '{}' AND q.status = 'processing'
        AND (p_worker_ids IS NULL OR q.worker_id = ANY (p_worker_ids))
$$;
