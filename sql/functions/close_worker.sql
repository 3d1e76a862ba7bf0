-- A worker says goodbye. What it still holds goes back without using an attempt; its dispatches end.
-- Returns the number of chunks given back.
CREATE OR REPLACE FUNCTION close_worker(p_worker_id bigint) RETURNS integer
LANGUAGE plpgsql VOLATILE SET search_path = chunk_sync, pg_temp AS $$
DECLARE
    v_released integer;
BEGIN
    UPDATE chunk_processing_queue
    SET status = 'pending', worker_id = NULL, attempts = attempts - 1, available_at = clock()
    WHERE status = 'processing' AND worker_id = p_worker_id;
    GET DIAGNOSTICS v_released = ROW_COUNT;
    UPDATE workers SET ended_at = clock() WHERE id = p_worker_id AND ended_at IS NULL;
    UPDATE dispatches SET ended_at = clock() WHERE worker_id = p_worker_id AND ended_at IS NULL;
    RETURN v_released;
END $$;
