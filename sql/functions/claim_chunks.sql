-- Claim up to p_limit due chunks for a worker: of the given ones, or of anything that is due. Raises CS002 when the
-- worker has no lease. Of anything: the most urgent lanes first (priority, grown by age), among these the one that
-- was served least, in each lane by turn; never more than a mailbox, a tenant or a provider may have running. Lanes
-- that are locked elsewhere are skipped, so that a claim never waits, except for the lanes of chunks that the caller
-- names.
--
-- The session keeps a mark from claim to claim: the first open lane that was live a moment ago. Old versions of
-- lanes, which a snapshot held open elsewhere may keep by the thousand, are walked once and not by every claim. The
-- mark moves after 20 ms, and is void after a second and when a lane has opened since (a sequence tells so at once).
CREATE OR REPLACE FUNCTION claim_chunks(p_worker_id bigint, p_limit integer, p_chunk_ids bigint[] DEFAULT NULL)
RETURNS TABLE (chunk_id bigint, lease_token bigint, attempts smallint, max_attempts smallint)
LANGUAGE plpgsql VOLATILE SET search_path = chunk_sync, pg_temp SET plan_cache_mode = force_generic_plan
SET enable_seqscan = off SET enable_bitmapscan = off SET jit = off  -- however small the tables were at first
AS $$
#variable_conflict use_column
DECLARE
    v_now timestamptz := clock();
    v_seconds double precision := extract(EPOCH FROM v_now);
    v_left integer := p_limit;
    v_taken taken_chunk[] := '{}';
    v_round taken_chunk[];
    v_mark text[] := string_to_array(nullif(current_setting('chunk_sync.claim_mark', true), ''), ' ');
    v_openings bigint;
    v_clock bigint;
    v_limited boolean;
    v_afresh boolean;
    v_class smallint := 0;
    v_vtime bigint := 0;
    v_mailbox_id bigint := 0;
    v_tids tid[];
    v_first bigint;
    v_tenant_id bigint;
    v_provider text;
    v_tenant_room integer;
    v_provider_room integer;
    v_full_tenants bigint[] := '{}';
    v_full_providers text[] := '{}';
BEGIN
    IF p_chunk_ids IS NOT NULL THEN
        RETURN QUERY SELECT t.chunk_id, t.lease_token, t.attempts, t.max_attempts
        FROM claim_given(p_worker_id, p_limit, p_chunk_ids) AS t;
        RETURN;
    END IF;
    SELECT s.last_value, c.last_value, EXISTS (SELECT FROM tenant_lanes AS t WHERE t.chunk_limit IS NOT NULL)
        OR EXISTS (SELECT FROM provider_lanes AS p WHERE p.chunk_limit IS NOT NULL OR p.breaker <> 'closed')
    INTO v_openings, v_clock, v_limited FROM lane_openings AS s CROSS JOIN lane_clock AS c;
    v_afresh := v_mark IS NULL OR v_mark[4]::bigint <> v_openings
        OR v_seconds - v_mark[5]::double precision NOT BETWEEN 0 AND 1;
    IF v_afresh THEN
        PERFORM wake_lanes();
        v_mark := ARRAY[0, 0, 0, v_openings, v_seconds, 0]::text[];
    END IF;
    v_class := v_mark[1];
    v_vtime := v_mark[2];
    v_mailbox_id := v_mark[3];
    WHILE v_left > 0 LOOP
        IF v_seconds - v_mark[6]::double precision NOT BETWEEN 0 AND 0.02 THEN
            SELECT l.head_class, l.vtime, l.mailbox_id INTO v_class, v_vtime, v_mailbox_id FROM mailbox_lanes AS l
            WHERE l.head_class IS NOT NULL
                AND (l.head_class, l.vtime, l.mailbox_id) >= (v_class, v_vtime, v_mailbox_id)
            ORDER BY l.head_class, l.vtime, l.mailbox_id LIMIT 1;
            v_mark := ARRAY[coalesce(v_class, 0), coalesce(v_vtime, 0), coalesce(v_mailbox_id, 0), v_openings,
                v_mark[5], v_seconds]::text[];
            PERFORM set_config('chunk_sync.claim_mark', array_to_string(v_mark, ' '), false);
        END IF;
        SELECT array_agg(x.tid), min(x.vtime), min(x.tenant_id), min(x.provider) INTO v_tids, v_first, v_tenant_id,
            v_provider
        FROM (
            SELECT l.ctid AS tid, l.vtime, l.tenant_id, l.provider FROM mailbox_lanes AS l
            WHERE l.head_class IS NOT NULL
                AND (l.head_class, l.vtime, l.mailbox_id) >= (v_class, v_vtime, v_mailbox_id)
                AND cardinality(l.held) < CASE l.breaker WHEN 'half_open' THEN 1 ELSE least(l.connection_limit, l.allowed) END
                AND l.tenant_id <> ALL (v_full_tenants) AND l.provider <> ALL (v_full_providers)
            ORDER BY l.head_class, l.vtime, l.mailbox_id
            LIMIT CASE WHEN v_limited THEN 1 ELSE (v_left + 3) / 4 END FOR NO KEY UPDATE SKIP LOCKED
        ) AS x;
        IF v_tids IS NULL THEN
            EXIT WHEN v_taken <> '{}' OR v_afresh;
            v_afresh := true;                    -- nothing so far: look properly before saying so
            PERFORM wake_lanes();
            v_mark := ARRAY[0, 0, 0, v_openings, v_seconds, 0]::text[];
            v_class := 0;
            v_vtime := 0;
            v_mailbox_id := 0;
            v_full_tenants := '{}';
            v_full_providers := '{}';
            CONTINUE;
        END IF;
        IF v_limited THEN
            SELECT r.tenant_room, r.provider_room INTO v_tenant_room, v_provider_room FROM room_of(v_tenant_id,
                v_provider, v_now) AS r;
            v_full_tenants := v_full_tenants || ARRAY(SELECT v_tenant_id WHERE v_tenant_room <= 0);
            v_full_providers := v_full_providers || ARRAY(SELECT v_provider WHERE v_provider_room <= 0);
            CONTINUE WHEN v_tenant_room <= 0 OR v_provider_room <= 0;
        END IF;
        v_round := take_chunks(p_worker_id, v_tids, least(v_left, v_tenant_room, v_provider_room), v_now);
        v_taken := v_taken || v_round;
        v_left := p_limit - cardinality(v_taken);
        IF v_first > v_clock THEN
            v_clock := setval('lane_clock', v_first);
        END IF;
    END LOOP;
    IF v_taken = '{}' AND NOT EXISTS (SELECT FROM workers AS w WHERE w.id = p_worker_id AND w.ended_at IS NULL
        AND w.lease_until >= v_now) THEN
        RAISE EXCEPTION 'worker % has no lease', p_worker_id USING ERRCODE = 'CS002';
    END IF;
    RETURN QUERY SELECT t.chunk_id, t.lease_token, t.attempts, t.max_attempts FROM unnest(v_taken) AS t;
END $$;
