-- Renew a worker's lease on everything it holds; false when the worker was ended: it must stop at once.
-- A lease is never shortened, and one that has expired is not revived: its chunks may be somebody else's.
CREATE OR REPLACE FUNCTION heartbeat(p_worker_id bigint, p_lease interval DEFAULT '60 s') RETURNS boolean
LANGUAGE plpgsql VOLATILE SET search_path = chunk_sync, pg_temp AS $$
DECLARE
    v_now timestamptz := clock();
BEGIN
    UPDATE workers SET heartbeat_at = v_now, lease_until = greatest(lease_until, v_now + p_lease)
    WHERE id = p_worker_id AND ended_at IS NULL AND lease_until >= v_now;
    RETURN FOUND;
END $$;
