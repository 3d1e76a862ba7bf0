-- Snooze: put leased chunks back for p_delay without using an attempt. Returns those that were given back; the lease of
-- any other was not held any more.
CREATE OR REPLACE FUNCTION release_chunks(p_chunk_ids bigint[], p_lease_tokens bigint[], p_delay interval DEFAULT '0 s')
RETURNS SETOF bigint
LANGUAGE plpgsql VOLATILE SET search_path = chunk_sync, pg_temp AS $$
DECLARE
    v_now timestamptz := clock();
    v_held chunk_processing_queue[];
BEGIN
    PERFORM lock_lanes(ARRAY(SELECT q.mailbox_id FROM chunk_processing_queue AS q
        WHERE q.chunk_id = ANY (p_chunk_ids)));
    SELECT coalesce(array_agg(q), '{}') INTO v_held
    FROM chunk_processing_queue AS q INNER JOIN (SELECT DISTINCT * FROM unnest(p_chunk_ids,
        p_lease_tokens)) AS g (chunk_id, lease_token)
        ON g.chunk_id = q.chunk_id
    WHERE q.lease_token = g.lease_token AND q.status = 'processing';
    UPDATE chunk_processing_queue AS q
    SET status = 'pending', worker_id = NULL, attempts = q.attempts - 1, available_at = v_now + p_delay,
        turn_at = CASE WHEN p_delay <= '0 s' THEN q.turn_at END
    FROM unnest(v_held) AS h WHERE q.chunk_id = h.chunk_id;
    PERFORM put_back(v_held);
    RETURN QUERY SELECT h.chunk_id FROM unnest(v_held) AS h;
END $$;
