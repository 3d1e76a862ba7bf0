-- Snooze one chunk, see release_chunks. False when the lease is not held any more.
CREATE OR REPLACE FUNCTION release_chunk(p_chunk_id bigint, p_lease_token bigint, p_delay interval DEFAULT '0 s')
RETURNS boolean
LANGUAGE sql VOLATILE SET search_path = chunk_sync, pg_temp AS $$
    SELECT EXISTS (SELECT FROM release_chunks(ARRAY[p_chunk_id], ARRAY[p_lease_token], p_delay))
$$;
