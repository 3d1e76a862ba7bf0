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
            SELECT count(*) FROM workers AS w CROSS JOIN LATERAL release_chunks(w.held, ARRAY(
                SELECT q.lease_token FROM unnest(w.held) WITH ORDINALITY AS h (id, place)
                LEFT JOIN chunk_processing_queue AS q ON q.chunk_id = h.id AND q.worker_id = w.id ORDER BY h.place
            )) WHERE w.id = p_worker_id
        );
        UPDATE workers SET ended_at = clock() WHERE id = p_worker_id AND ended_at IS NULL AND held = '{}';
        EXIT WHEN FOUND OR NOT EXISTS (SELECT FROM workers AS w WHERE w.id = p_worker_id AND w.ended_at IS NULL);
    END LOOP;
    UPDATE dispatches SET ended_at = clock() WHERE worker_id = p_worker_id AND ended_at IS NULL;
    RETURN v_released;
END $$;
