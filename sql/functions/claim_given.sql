-- Take those of the given chunks that are ready, as far as their lanes, tenants and providers have room. Raises CS002
-- when the worker has no lease.
CREATE OR REPLACE FUNCTION claim_given(p_worker_id bigint, p_limit integer,
    p_chunk_ids bigint[]) RETURNS SETOF taken_chunk
LANGUAGE plpgsql VOLATILE SET search_path = chunk_sync, pg_temp SET plan_cache_mode = force_generic_plan AS $$
DECLARE
    v_now timestamptz := clock();
    v_left integer := p_limit;
    v_taken taken_chunk[] := '{}';
    v_round taken_chunk[];
    v_tids tid[] := lock_lanes(ARRAY(SELECT q.mailbox_id FROM chunk_processing_queue AS q
        WHERE q.chunk_id = ANY (p_chunk_ids)));
    v_lane mailbox_lanes;
    v_tenant_room integer;
    v_provider_room integer;
BEGIN
    FOR v_lane IN SELECT l.* FROM mailbox_lanes AS l WHERE l.ctid = ANY (v_tids) ORDER BY l.head_class, l.vtime,
        l.mailbox_id LOOP
        EXIT WHEN v_left <= 0;
        IF v_lane.wake_at <= v_now THEN
            PERFORM refresh_lane(v_lane.mailbox_id);
            SELECT l.* INTO v_lane FROM mailbox_lanes AS l WHERE l.mailbox_id = v_lane.mailbox_id;
        END IF;
        CONTINUE WHEN v_lane.head_class IS NULL;
        SELECT r.tenant_room, r.provider_room INTO v_tenant_room, v_provider_room
        FROM room_of(v_lane.tenant_id, v_lane.provider, v_now) AS r;
        WITH ready AS (
            SELECT q.chunk_id FROM chunk_processing_queue AS q
            WHERE q.chunk_id = ANY (p_chunk_ids) AND q.mailbox_id = v_lane.mailbox_id AND q.status = 'pending'
                AND q.turn_at < 'infinity'
            ORDER BY q.turn_at, q.chunk_id
            LIMIT greatest(least(
                CASE v_lane.breaker WHEN 'half_open' THEN 1 ELSE least(v_lane.connection_limit, v_lane.allowed) END
                    - cardinality(v_lane.held),
                v_left, v_tenant_room, v_provider_room), 0)
        ), taken AS (
            UPDATE chunk_processing_queue AS q
            SET status = 'processing', lease_token = q.lease_token + 1, attempts = q.attempts + 1,
                worker_id = p_worker_id, started_at = v_now
            WHERE q.chunk_id = ANY (ARRAY(SELECT r.chunk_id FROM ready AS r))
            RETURNING q.chunk_id, q.lease_token, q.attempts, q.max_attempts, q.turn_at
        )
        SELECT coalesce(array_agg((t.chunk_id, t.lease_token, t.attempts, t.max_attempts)::taken_chunk
            ORDER BY t.turn_at, t.chunk_id), '{}')
        INTO v_round FROM taken AS t;
        CONTINUE WHEN v_round = '{}';
        UPDATE mailbox_lanes AS l
        SET version = l.version + 1, held = l.held || ARRAY(SELECT t.chunk_id FROM unnest(v_round) AS t),
            claimed_total = l.claimed_total + cardinality(v_round), vtime = l.vtime + cardinality(v_round) * l.stride
        WHERE l.mailbox_id = v_lane.mailbox_id;
        PERFORM refresh_lane(v_lane.mailbox_id);
        v_taken := v_taken || v_round;
        v_left := p_limit - cardinality(v_taken);
    END LOOP;
    -- Last, and in the same breath: a worker that was ended meanwhile has claimed nothing.
    PERFORM FROM workers AS w WHERE w.id = p_worker_id AND w.ended_at IS NULL AND w.lease_until >= v_now FOR SHARE;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'worker % has no lease', p_worker_id USING ERRCODE = 'CS002';
    END IF;
    RETURN QUERY SELECT * FROM unnest(v_taken);
END $$;
