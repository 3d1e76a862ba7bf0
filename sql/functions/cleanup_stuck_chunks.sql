-- Sweep every expired lease; returns how many chunks were given back or ended.
CREATE OR REPLACE FUNCTION cleanup_stuck_chunks() RETURNS integer
LANGUAGE sql VOLATILE SET search_path = chunk_sync, pg_temp AS $$
    SELECT count(*)::integer FROM recover_expired_leases(100000)
$$;
