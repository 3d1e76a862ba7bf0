-- Take up to p_limit ready chunks of lanes that the caller has locked, in the lanes' order and as far as each has room;
-- the lanes then know what of theirs runs, and their next chunk. The worker's row is locked, so that it does not end
-- meanwhile, and not written: all its claims would leave versions of it. A statement of its own, so that it sees all
-- that was done under those locks. Raises CS002 when the worker has no lease.
CREATE OR REPLACE FUNCTION take_chunks(p_worker_id bigint, p_lanes tid[], p_limit integer,
    p_now timestamptz) RETURNS taken_chunk[]
LANGUAGE plpgsql VOLATILE SET search_path = chunk_sync, pg_temp SET plan_cache_mode = force_generic_plan AS $$
DECLARE
    v_taken taken_chunk[];
    v_holding bigint;
BEGIN
    WITH lane AS MATERIALIZED (
        SELECT l.ctid AS tid, l.mailbox_id, l.head_class, l.vtime, l.low_turn_at, l.low_chunk_id,
            CASE l.breaker WHEN 'half_open' THEN 1 ELSE least(l.connection_limit, l.allowed) END - cardinality(l.held) AS room
        FROM mailbox_lanes AS l WHERE l.ctid = ANY (p_lanes)
    ), picked AS MATERIALIZED (
        SELECT lane.tid AS lane, c.tid, c.chunk_id, c.turn_at,
            CASE WHEN c.place <= lane.room THEN row_number() OVER (ORDER BY lane.head_class, lane.vtime,
                lane.mailbox_id, c.place) END AS place
        FROM lane CROSS JOIN LATERAL (           -- one more than there is room for: the lane's next chunk
            SELECT q.ctid AS tid, q.chunk_id, q.turn_at, row_number() OVER (ORDER BY q.turn_at, q.chunk_id) AS place
            FROM chunk_processing_queue AS q
            WHERE q.mailbox_id = lane.mailbox_id AND (q.turn_at, q.chunk_id) >= (lane.low_turn_at, lane.low_chunk_id)
                AND q.turn_at < 'infinity' AND q.status = 'pending'
            ORDER BY q.turn_at, q.chunk_id LIMIT least(lane.room, p_limit) + 1
        ) AS c
    ), chosen AS MATERIALIZED (
        SELECT p.tid FROM picked AS p WHERE p.place IS NOT NULL ORDER BY p.place LIMIT p_limit
    ), taken AS (
        UPDATE chunk_processing_queue AS q
        SET status = 'processing', lease_token = q.lease_token + 1, attempts = q.attempts + 1,
            worker_id = p_worker_id, started_at = p_now
        WHERE q.ctid = ANY (ARRAY(SELECT c.tid FROM chosen AS c))
        RETURNING q.chunk_id, q.lease_token, q.attempts, q.max_attempts, q.turn_at
    ), served AS (
        UPDATE mailbox_lanes AS l
        SET version = l.version + 1, held = l.held || s.taken_ids, claimed_total = l.claimed_total + s.taken,
            vtime = l.vtime + s.taken * l.stride, head_class = class_of(s.turn_at, p_now),
            low_turn_at = coalesce(s.turn_at, s.last_turn_at, l.low_turn_at),
            low_chunk_id = coalesce(s.chunk_id, s.last_chunk_id, l.low_chunk_id),
            wake_at = least(l.wake_at, s.turn_at + (31 - nullif(class_of(s.turn_at, p_now), 0)) * interval '1 minute')
        FROM (
            SELECT lane.tid, count(c.tid)::integer AS taken,
                array_agg(p.chunk_id) FILTER (WHERE c.tid IS NOT NULL) AS taken_ids,
                max(p.turn_at) AS last_turn_at, max(p.chunk_id) AS last_chunk_id,
                (array_agg(p.turn_at ORDER BY p.turn_at, p.chunk_id) FILTER (WHERE c.tid IS NULL))[1] AS turn_at,
                (array_agg(p.chunk_id ORDER BY p.turn_at, p.chunk_id) FILTER (WHERE c.tid IS NULL))[1] AS chunk_id
            FROM lane LEFT JOIN picked AS p ON p.lane = lane.tid LEFT JOIN chosen AS c ON c.tid = p.tid
            GROUP BY lane.tid
        ) AS s
        WHERE l.ctid = ANY (p_lanes) AND s.tid = l.ctid
    ), worker AS (
        SELECT w.id FROM workers AS w WHERE w.id = p_worker_id AND w.ended_at IS NULL AND w.lease_until >= p_now
        FOR SHARE
    )
    SELECT coalesce(array_agg((t.chunk_id, t.lease_token, t.attempts, t.max_attempts)::taken_chunk ORDER BY t.turn_at,
        t.chunk_id), '{}'),
        (SELECT w.id FROM worker AS w)
    INTO v_taken, v_holding FROM taken AS t;
    IF v_holding IS NULL THEN                    -- ended meanwhile: nothing of this is kept
        RAISE EXCEPTION 'worker % has no lease', p_worker_id USING ERRCODE = 'CS002';
    END IF;
    RETURN v_taken;
END $$;
