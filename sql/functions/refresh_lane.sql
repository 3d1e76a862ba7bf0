-- Look at a lane again: chunks that have fallen due get their turn, an open breaker whose pause is over lets one chunk
-- try, and the lane knows its first chunk, how urgent that is, and when to be looked at next. Called under the lane's
-- lock by whatever makes a chunk wait; p_turn_at and p_chunk_id then name the first such chunk.
CREATE OR REPLACE FUNCTION refresh_lane(p_mailbox_id bigint, p_turn_at timestamptz DEFAULT NULL,
    p_chunk_id bigint DEFAULT NULL)
RETURNS void
LANGUAGE plpgsql VOLATILE SET search_path = chunk_sync, pg_temp SET plan_cache_mode = force_generic_plan AS $$
DECLARE
    v_now timestamptz := clock();
    v_tid tid := (lock_lanes(ARRAY[p_mailbox_id]))[1];
    v_lane mailbox_lanes;
    v_due record;
    v_head record;
    v_class smallint;
    v_wake timestamptz;
BEGIN
    SELECT * INTO v_lane FROM mailbox_lanes WHERE ctid = v_tid;
    IF NOT FOUND THEN
        RETURN;                                  -- the mailbox is being removed
    END IF;
    WITH due AS (
        UPDATE chunk_processing_queue SET turn_at = turn_of(available_at, priority)
        WHERE mailbox_id = p_mailbox_id AND turn_at IS NULL AND available_at <= v_now
        RETURNING turn_at, chunk_id
    )
    SELECT turn_at, chunk_id INTO v_due FROM due ORDER BY turn_at, chunk_id LIMIT 1;
    SELECT m.turn_at, m.chunk_id INTO v_lane.low_turn_at, v_lane.low_chunk_id
    FROM (VALUES (v_lane.low_turn_at, v_lane.low_chunk_id), (p_turn_at, p_chunk_id), (v_due.turn_at,
        v_due.chunk_id)) AS m (turn_at, chunk_id)
    WHERE m.turn_at IS NOT NULL ORDER BY m.turn_at, m.chunk_id LIMIT 1;
    SELECT q.turn_at, q.chunk_id INTO v_head FROM chunk_processing_queue AS q
    WHERE q.mailbox_id = p_mailbox_id AND (q.turn_at, q.chunk_id) >= (v_lane.low_turn_at, v_lane.low_chunk_id)
        AND q.turn_at < 'infinity' AND q.status = 'pending'
    ORDER BY q.turn_at, q.chunk_id LIMIT 1;
    IF v_head.turn_at IS NULL THEN               -- nothing waits: the mark goes to the end
        SELECT q.turn_at, q.chunk_id INTO v_head FROM chunk_processing_queue AS q
        WHERE q.mailbox_id = p_mailbox_id AND q.turn_at < 'infinity' ORDER BY q.turn_at DESC, q.chunk_id DESC LIMIT 1;
    ELSIF v_lane.not_before <= v_now AND NOT v_lane.paused THEN
        v_class := class_of(v_head.turn_at, v_now);
    END IF;
    SELECT min(w.at) INTO v_wake FROM (VALUES
        ((SELECT q.available_at FROM chunk_processing_queue AS q WHERE q.mailbox_id = p_mailbox_id AND q.turn_at IS NULL
            ORDER BY q.available_at LIMIT 1)),
        (CASE WHEN v_lane.not_before > v_now THEN v_lane.not_before END),
        (CASE WHEN v_class > 0 THEN v_head.turn_at + (31 - v_class) * interval '1 minute' END)
    ) AS w (at);
    UPDATE mailbox_lanes
    SET version = version + 1, head_class = v_class, wake_at = CASE WHEN NOT paused THEN v_wake END,
        low_turn_at = coalesce(v_head.turn_at, v_lane.low_turn_at), low_chunk_id = coalesce(v_head.chunk_id,
            v_lane.low_chunk_id),
        vtime = CASE WHEN head_class IS NULL AND v_class IS NOT NULL
            THEN greatest(vtime, (SELECT c.last_value FROM lane_clock AS c)) ELSE vtime END,  -- idling earns no credit
        breaker = CASE WHEN breaker = 'open' AND not_before <= v_now THEN 'half_open' ELSE breaker END
    WHERE ctid = v_tid;
    IF v_class < v_lane.head_class OR (v_lane.head_class IS NULL AND v_class IS NOT NULL) THEN
        PERFORM nextval('lane_openings');
    END IF;
END $$;
