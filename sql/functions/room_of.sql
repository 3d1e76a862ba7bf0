-- How many more chunks a tenant and a provider may have running, NULL: as many as you like. The rows that hold a limit
-- are locked, so that the sum stays true until the claim commits; one that another claim holds counts as full.
CREATE OR REPLACE FUNCTION room_of(
    p_tenant_id bigint, p_provider text, p_now timestamptz, OUT tenant_room integer, OUT provider_room integer
)
LANGUAGE plpgsql VOLATILE SET search_path = chunk_sync, pg_temp AS $$
BEGIN
    IF EXISTS (SELECT FROM tenant_lanes AS t WHERE t.tenant_id = p_tenant_id AND t.chunk_limit IS NOT NULL) THEN
        SELECT t.chunk_limit INTO tenant_room FROM tenant_lanes AS t
            WHERE t.tenant_id = p_tenant_id FOR NO KEY UPDATE SKIP LOCKED;
        tenant_room := coalesce(tenant_room, 0);
    END IF;
    IF EXISTS (SELECT FROM provider_lanes AS p WHERE p.provider = p_provider AND (p.chunk_limit IS NOT NULL
        OR p.breaker <> 'closed')) THEN
        SELECT CASE WHEN p.not_before > p_now THEN 0 WHEN p.breaker <> 'closed'
            THEN 1 ELSE p.chunk_limit END INTO provider_room
        FROM provider_lanes AS p WHERE p.provider = p_provider FOR NO KEY UPDATE SKIP LOCKED;
        provider_room := coalesce(provider_room, 0);
        IF provider_room > 0 THEN
            UPDATE provider_lanes AS p SET breaker = 'half_open' WHERE p.provider = p_provider AND p.breaker = 'open';
        END IF;
    END IF;
    -- Counted in a statement after the lock: other claims are out, and completions only make room.
    IF tenant_room > 0 THEN
        tenant_room := tenant_room - (SELECT coalesce(sum(cardinality(l.held)), 0) FROM mailbox_lanes AS l
            WHERE l.tenant_id = p_tenant_id);
    END IF;
    IF provider_room > 0 THEN
        provider_room := provider_room - (SELECT coalesce(sum(cardinality(l.held)), 0) FROM mailbox_lanes AS l
            WHERE l.provider = p_provider);
    END IF;
END $$;
