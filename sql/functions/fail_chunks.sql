-- These attempts failed: the database decides for each between pending (due later) and failed (dead letter).
-- A failure of the whole account pauses the mailbox's lane until the chunk is due again; one that will not be retried
-- also ends the job's other pending chunks, without using their attempts: they can be re-opened. Failures that speak of
-- the provider's health in a row open the mailbox's breaker. A stale lease is not accepted and changes nothing.
CREATE OR REPLACE FUNCTION fail_chunks(
    p_chunk_ids bigint[], p_lease_tokens bigint[], p_categories error_category[], p_messages text[],
    p_codes text[] DEFAULT NULL, p_retry_after_ms integer[] DEFAULT NULL, p_account_scope boolean[] DEFAULT NULL,
    p_processing_time_ms integer[] DEFAULT NULL, p_metadata jsonb[] DEFAULT NULL
) RETURNS TABLE (chunk_id bigint, accepted boolean, chunk_status chunk_status, next_attempt_at timestamptz)
LANGUAGE plpgsql VOLATILE SET search_path = chunk_sync, pg_temp AS $$
#variable_conflict use_column
DECLARE
    v_given record;
    v_queue chunk_processing_queue;
    v_ended chunk_processing_queue[] := '{}';
    v_next timestamptz;
BEGIN
    PERFORM lock_lanes(ARRAY(SELECT q.mailbox_id FROM chunk_processing_queue AS q
        WHERE q.chunk_id = ANY (p_chunk_ids)));
    FOR v_given IN
        SELECT * FROM unnest(
            p_chunk_ids, p_lease_tokens, p_categories, p_messages, p_codes, p_retry_after_ms, p_account_scope,
            p_processing_time_ms, p_metadata
        ) AS g (chunk_id, lease_token, category, message, code, retry_after_ms, account_scope, ms, metadata)
            ORDER BY g.chunk_id
    LOOP
        SELECT * INTO v_queue FROM chunk_processing_queue AS q
        WHERE q.chunk_id = v_given.chunk_id AND q.lease_token = v_given.lease_token AND q.status = 'processing';
        IF NOT FOUND THEN
            RETURN QUERY SELECT v_given.chunk_id, false, NULL::chunk_status, NULL::timestamptz;
            CONTINUE;
        END IF;
        v_next := end_attempt(
            v_queue, CASE WHEN v_given.category = 'timeout' THEN 'timeout' ELSE 'error' END::attempt_status,
                v_given.category,
            v_given.message, v_given.code, v_given.retry_after_ms, coalesce(v_given.ms, 0), coalesce(v_given.metadata,
                '{}')
        );
        PERFORM fail_lane(v_queue.mailbox_id, v_given.category, CASE WHEN v_given.account_scope THEN v_next END);
        v_ended := v_ended || v_queue;
        IF v_given.account_scope AND v_next IS NULL THEN
            PERFORM settle_sync_job(v_queue.sync_job_id, 0, fail_pending_chunks(v_queue.sync_job_id,
                v_given.category), 0, 0, 0);
        END IF;
        RETURN QUERY SELECT v_given.chunk_id, true, CASE WHEN v_next IS NULL
            THEN 'failed' ELSE 'pending' END::chunk_status, v_next;
    END LOOP;
    PERFORM put_back(v_ended);
END $$;
