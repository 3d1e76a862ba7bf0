-- The last word of a transaction that lands a page of a chunk and does not complete it: a stale lease raises CS001,
-- which takes the page with it. The row stays locked until the commit, so that the chunk is not given away before.
CREATE OR REPLACE FUNCTION hold_chunk(p_chunk_id bigint, p_lease_token bigint) RETURNS void
LANGUAGE plpgsql VOLATILE SET search_path = chunk_sync, pg_temp AS $$
BEGIN
    PERFORM FROM chunk_processing_queue AS q
    WHERE q.chunk_id = p_chunk_id AND q.lease_token = p_lease_token AND q.status = 'processing' FOR SHARE;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'lease % on chunk % is not held any more', p_lease_token, p_chunk_id USING ERRCODE = 'CS001';
    END IF;
END $$;
