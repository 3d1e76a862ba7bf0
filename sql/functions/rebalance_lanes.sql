-- A tenant's lanes share its part: a chunk costs a lane as many strides as the tenant has open lanes, divided by its
-- weight, so that tenants and not mailboxes are served alike. Lanes that are locked are left for the next time.
-- Returns how many changed.
CREATE OR REPLACE FUNCTION rebalance_lanes() RETURNS integer
LANGUAGE plpgsql VOLATILE SET search_path = chunk_sync, pg_temp AS $$
DECLARE
    v_count integer;
BEGIN
    WITH share AS (
        SELECT l.tenant_id, greatest(1000 * count(*) / t.weight, 1)::integer AS stride
        FROM mailbox_lanes AS l INNER JOIN tenant_lanes AS t ON t.tenant_id = l.tenant_id
        WHERE l.head_class IS NOT NULL GROUP BY l.tenant_id, t.weight
    ), stale AS (
        SELECT l.ctid AS tid, s.stride FROM mailbox_lanes AS l INNER JOIN share AS s ON s.tenant_id = l.tenant_id
        WHERE l.head_class IS NOT NULL AND l.stride <> s.stride FOR NO KEY UPDATE OF l SKIP LOCKED
    )
    UPDATE mailbox_lanes AS l SET stride = s.stride FROM stale AS s WHERE l.ctid = s.tid;
    GET DIAGNOSTICS v_count = ROW_COUNT;
    RETURN v_count;
END $$;
