-- The provider turned us away before any work on a chunk was done: the chunk goes back without using an attempt, the
-- mailbox's lane pauses for as long as the provider asked, or the first delay of rate_limit, and its breaker counts.
-- Returns when the lane goes on; NULL when the lease is not held any more.
CREATE OR REPLACE FUNCTION throttle_chunk(p_chunk_id bigint, p_lease_token bigint,
    p_retry_after_ms integer DEFAULT NULL)
RETURNS timestamptz
LANGUAGE plpgsql VOLATILE SET search_path = chunk_sync, pg_temp AS $$
DECLARE
    v_queue chunk_processing_queue;
    v_delay_ms integer;
BEGIN
    PERFORM lock_lanes(ARRAY(SELECT q.mailbox_id FROM chunk_processing_queue AS q WHERE q.chunk_id = p_chunk_id));
    SELECT * INTO v_queue FROM chunk_processing_queue AS q WHERE q.chunk_id = p_chunk_id;
    IF NOT EXISTS (SELECT FROM release_chunks(ARRAY[p_chunk_id], ARRAY[p_lease_token])) THEN
        RETURN NULL;
    END IF;
    v_delay_ms := coalesce(retry_delay_ms('rate_limit', 1, 2, p_retry_after_ms, v_queue.tenant_id, NULL),
        p_retry_after_ms, 5000);
    PERFORM fail_lane(v_queue.mailbox_id, 'rate_limit', clock() + v_delay_ms * interval '1 millisecond');
    PERFORM refresh_lane(v_queue.mailbox_id);
    RETURN (SELECT l.not_before FROM mailbox_lanes AS l WHERE l.mailbox_id = v_queue.mailbox_id);
END $$;
