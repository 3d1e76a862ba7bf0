-- Renew the leases of several workers, see heartbeat. Returns those that still have one.
CREATE OR REPLACE FUNCTION heartbeat_workers(p_worker_ids bigint[], p_lease interval DEFAULT '60 s')
RETURNS SETOF bigint
LANGUAGE plpgsql VOLATILE SET search_path = chunk_sync, pg_temp AS $$
DECLARE
    v_now timestamptz := clock();
BEGIN
    RETURN QUERY
    UPDATE workers AS w SET heartbeat_at = v_now, lease_until = greatest(w.lease_until, v_now + p_lease)
    FROM (SELECT x.id FROM workers AS x WHERE x.id = ANY (p_worker_ids) ORDER BY x.id FOR NO KEY UPDATE) AS ours
    WHERE w.id = ours.id AND w.ended_at IS NULL AND w.lease_until >= v_now
    RETURNING w.id;
END $$;
