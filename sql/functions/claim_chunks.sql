-- Claim up to p_limit due chunks for a worker: of the given ones, or of anything that is due.
-- Order: priority first (30 before 1), then the mailbox that was served least, then due time, then index.
-- Lanes (mailboxes) are locked before their chunks and the running chunks are counted under that lock, so a
-- mailbox's limit is exact whoever claims at the same time. Whatever is locked elsewhere is skipped, so a
-- claim never waits, except for the lane of a mailbox that the caller named.
CREATE OR REPLACE FUNCTION claim_chunks(p_worker_id bigint, p_limit integer, p_chunk_ids bigint[] DEFAULT NULL)
RETURNS TABLE (chunk_id bigint, lease_token bigint, attempts smallint, max_attempts smallint)
LANGUAGE plpgsql VOLATILE SET search_path = chunk_sync, pg_temp AS $$
#variable_conflict use_column
DECLARE
    v_now timestamptz := clock();
    v_left integer := p_limit;
    v_taken integer;
    v_room integer;
    v_lane record;
BEGIN
    IF NOT EXISTS (SELECT FROM workers w WHERE w.id = p_worker_id AND w.ended_at IS NULL AND w.lease_until >= v_now) THEN
        RAISE EXCEPTION 'worker % has no lease', p_worker_id USING ERRCODE = 'CS002';
    END IF;
    FOR v_lane IN
        SELECT l.mailbox_id, l.connection_limit FROM mailbox_lanes l
        CROSS JOIN LATERAL (
            SELECT q.priority FROM chunk_processing_queue q
            WHERE q.mailbox_id = l.mailbox_id AND q.status = 'pending' AND q.available_at <= v_now
                AND (p_chunk_ids IS NULL OR q.chunk_id = ANY (p_chunk_ids))
            ORDER BY q.priority DESC LIMIT 1
        ) best
        WHERE l.not_before <= v_now
            AND (p_chunk_ids IS NULL OR l.mailbox_id IN (
                SELECT q.mailbox_id FROM chunk_processing_queue q WHERE q.chunk_id = ANY (p_chunk_ids)
            ))
        ORDER BY best.priority DESC, l.claimed_total, l.mailbox_id
    LOOP
        EXIT WHEN v_left <= 0;
        IF p_chunk_ids IS NULL THEN
            PERFORM FROM mailbox_lanes l WHERE l.mailbox_id = v_lane.mailbox_id FOR NO KEY UPDATE SKIP LOCKED;
        ELSE
            PERFORM FROM mailbox_lanes l WHERE l.mailbox_id = v_lane.mailbox_id FOR NO KEY UPDATE;
        END IF;
        CONTINUE WHEN NOT FOUND;
        SELECT v_lane.connection_limit - count(*) INTO v_room FROM chunk_processing_queue q
        WHERE q.mailbox_id = v_lane.mailbox_id AND q.status = 'processing';
        CONTINUE WHEN v_room <= 0;
        RETURN QUERY
        UPDATE chunk_processing_queue q
        SET status = 'processing', lease_token = q.lease_token + 1, attempts = q.attempts + 1,
            worker_id = p_worker_id, started_at = v_now
        WHERE q.chunk_id = ANY (ARRAY(
            SELECT c.chunk_id FROM chunk_processing_queue c
            WHERE c.mailbox_id = v_lane.mailbox_id AND c.status = 'pending' AND c.available_at <= v_now
                AND (p_chunk_ids IS NULL OR c.chunk_id = ANY (p_chunk_ids))
            ORDER BY c.priority DESC, c.available_at, c.sync_job_id, c.chunk_index
            LIMIT least(v_room, v_left) FOR UPDATE SKIP LOCKED
        )) AND q.status = 'pending'
        RETURNING q.chunk_id, q.lease_token, q.attempts, q.max_attempts;
        GET DIAGNOSTICS v_taken = ROW_COUNT;
        v_left := v_left - v_taken;
        UPDATE mailbox_lanes SET claimed_total = claimed_total + v_taken WHERE mailbox_id = v_lane.mailbox_id AND v_taken > 0;
    END LOOP;
END $$;
