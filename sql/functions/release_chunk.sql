-- Snooze: put a leased chunk back without using an attempt. False when the lease is not ours any more.
CREATE OR REPLACE FUNCTION release_chunk(p_chunk_id bigint, p_lease_token bigint, p_delay interval DEFAULT '0 s')
RETURNS boolean
LANGUAGE plpgsql VOLATILE SET search_path = chunk_sync, pg_temp AS $$
BEGIN
    UPDATE chunk_processing_queue
    SET status = 'pending', worker_id = NULL, attempts = attempts - 1, available_at = clock() + p_delay
    WHERE chunk_id = p_chunk_id AND lease_token = p_lease_token AND status = 'processing';
    RETURN FOUND;
END $$;
