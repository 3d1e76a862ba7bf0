-- Renew a worker's lease on everything it holds; false when the worker was ended: it must stop at once.
-- A lease is never shortened, and one that has expired is not revived: its chunks may be somebody else's.
CREATE OR REPLACE FUNCTION heartbeat(p_worker_id bigint, p_lease interval DEFAULT '60 s') RETURNS boolean
LANGUAGE plpgsql VOLATILE SET search_path = chunk_sync, pg_temp AS $$
BEGIN
    RETURN EXISTS (SELECT FROM heartbeat_workers(ARRAY[p_worker_id], p_lease));
END $$;
