-- What a failed attempt means for its mailbox: a pause until p_not_before (the account is throttled), and one more
-- failure in a row. Enough of those, or one while half open, open the breaker: nothing is claimed for a while that
-- doubles each time. Enough open breakers of enough tenants open the provider's. Being throttled halves what the
-- mailbox may have at work of what it had, down to one, and once in ten seconds: a burst of refusals is one. It grows
-- again with quiet minutes, see complete_chunks.
CREATE OR REPLACE FUNCTION fail_lane(p_mailbox_id bigint, p_category error_category,
    p_not_before timestamptz) RETURNS void
LANGUAGE plpgsql VOLATILE SET search_path = chunk_sync, pg_temp AS $$
DECLARE
    v_now timestamptz := clock();
    v_rules queue_rules;
    v_lane mailbox_lanes;
    v_open record;
    v_throttled boolean := p_category = 'rate_limit';
BEGIN
    SELECT * INTO STRICT v_rules FROM queue_rules;
    UPDATE mailbox_lanes AS l SET not_before = greatest(l.not_before, p_not_before),
        breaker_failures = l.breaker_failures + CASE WHEN speaks_of_health(p_category) AND l.breaker_failures < 32767
            THEN 1 ELSE 0 END,
        allowed = CASE WHEN v_throttled AND (l.allowed_at IS NULL OR l.allowed_at <= v_now - interval '10 seconds')
            THEN greatest(least(l.connection_limit, l.allowed, cardinality(l.held)) / 2, 1) ELSE l.allowed END,
        allowed_at = CASE WHEN v_throttled THEN v_now ELSE l.allowed_at END
    WHERE l.mailbox_id = p_mailbox_id RETURNING * INTO v_lane;
    IF NOT speaks_of_health(p_category) OR (v_lane.breaker <> 'half_open'
        AND v_lane.breaker_failures < v_rules.breaker_failures)
        OR (v_lane.breaker = 'open' AND v_lane.not_before > v_now) THEN
        RETURN;
    END IF;
    UPDATE mailbox_lanes AS l SET breaker = 'open', breaker_trips = least(l.breaker_trips + 1, 20),
        breaker_failures = 0,
        not_before = greatest(l.not_before, v_now + least(v_rules.breaker_pause * 2 ^ l.breaker_trips,
            v_rules.breaker_pause_limit))
    WHERE l.mailbox_id = p_mailbox_id;
    SELECT count(*) AS lanes, count(DISTINCT l.tenant_id) AS tenants INTO v_open
    FROM mailbox_lanes AS l WHERE l.provider = v_lane.provider AND l.breaker <> 'closed';
    UPDATE provider_lanes AS p SET breaker = 'open', breaker_trips = least(p.breaker_trips + 1, 20),
        not_before = v_now + least(v_rules.breaker_pause * 2 ^ p.breaker_trips, v_rules.breaker_pause_limit)
    WHERE p.provider = v_lane.provider AND p.not_before <= v_now
        AND v_open.lanes >= v_rules.provider_open_lanes AND v_open.tenants >= v_rules.provider_open_tenants;
END $$;
