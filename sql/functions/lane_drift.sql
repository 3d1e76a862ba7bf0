-- Where a lane does not say what its chunks say: what of it runs, a ready chunk before its mark, a closed
-- lane with a ready chunk, a chunk that runs for nobody. Always empty; a row is a fault of ours. Reads all
-- chunks that have not ended: for maintenance and tests, not for the hot path.
CREATE OR REPLACE FUNCTION lane_drift() RETURNS TABLE (mailbox_id bigint, what text, expected bigint, actual bigint)
LANGUAGE sql STABLE SET search_path = chunk_sync, pg_temp AS $$
    WITH chunk AS MATERIALIZED (
        SELECT q.mailbox_id, q.chunk_id, q.status, q.turn_at, q.worker_id FROM chunk_processing_queue AS q
        WHERE q.status IN ('pending', 'processing')
    )
    SELECT l.mailbox_id, 'running chunks', cardinality(c.running), cardinality(l.held) FROM mailbox_lanes AS l
    CROSS JOIN LATERAL (
        SELECT ARRAY(SELECT c.chunk_id FROM chunk AS c WHERE c.mailbox_id = l.mailbox_id AND c.status = 'processing'
            ORDER BY c.chunk_id) AS running
    ) AS c WHERE c.running <> ARRAY(SELECT h.id FROM unnest(l.held) AS h (id) ORDER BY h.id)
    UNION ALL
    SELECT l.mailbox_id, 'chunks before the mark', 0, count(*) FROM mailbox_lanes AS l
    INNER JOIN chunk AS c ON c.mailbox_id = l.mailbox_id AND c.status = 'pending' AND (c.turn_at,
        c.chunk_id) < (l.low_turn_at, l.low_chunk_id)
    GROUP BY l.mailbox_id
    UNION ALL
    SELECT l.mailbox_id, 'chunks in a closed lane', 0, count(*) FROM mailbox_lanes AS l
    INNER JOIN chunk AS c ON c.mailbox_id = l.mailbox_id AND c.status = 'pending' AND c.turn_at < 'infinity'
    WHERE l.head_class IS NULL AND NOT l.paused AND l.not_before <= clock() AND l.wake_at IS NULL
    GROUP BY l.mailbox_id
    UNION ALL
    SELECT c.mailbox_id, 'chunks that run for nobody', 0, count(*) FROM chunk AS c
    WHERE c.status = 'processing' AND NOT EXISTS (
        SELECT FROM workers AS w WHERE w.id = c.worker_id AND w.ended_at IS NULL
    )
    GROUP BY c.mailbox_id
$$;
