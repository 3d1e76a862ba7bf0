-- A worker says goodbye. What it still holds goes back without using an attempt; its dispatches end.
-- Returns the number of chunks given back.
CREATE OR REPLACE FUNCTION close_worker(p_worker_id bigint) RETURNS integer
LANGUAGE plpgsql VOLATILE SET search_path = chunk_sync, pg_temp AS $$
DECLARE
    v_released integer := 0;
BEGIN
    -- What it claims while we look is found by another look; what cannot be found is left to the end of its lease.
    FOR v_look IN 1..5 LOOP
        v_released := v_released + (
            SELECT count(r.chunk_id) FROM (
                SELECT array_agg(h.chunk_id) AS chunk_ids, array_agg(h.lease_token) AS lease_tokens
                FROM held_by(ARRAY[p_worker_id]) AS h
            ) AS h CROSS JOIN LATERAL release_chunks(h.chunk_ids, h.lease_tokens) AS r (chunk_id)
        );
        BEGIN
            UPDATE workers SET ended_at = clock() WHERE id = p_worker_id AND ended_at IS NULL;  -- its last claim ends
            EXIT WHEN NOT EXISTS (SELECT FROM held_by(ARRAY[p_worker_id]));
            RAISE EXCEPTION 'it claims while it leaves';
        EXCEPTION WHEN raise_exception THEN      -- undone: lanes are never locked after a worker
        END;
    END LOOP;
    UPDATE dispatches SET ended_at = clock() WHERE worker_id = p_worker_id AND ended_at IS NULL;
    RETURN v_released;
END $$;
