-- Report the end of an attempt, completed or failed, by the chunk's ids and the lease's token; what follows is the
-- database's: the attempt's row, the chunk's next state, the parent, a word to the other workers. A stale lease, or
-- none, is answered with accepted: false and changes nothing; the same completion again is accepted and changes
-- nothing.
CREATE OR REPLACE FUNCTION complete_chunk_job_safe(
    p_chunk_id bigint, p_queue_id uuid, p_status text, p_emails_processed integer DEFAULT 0,
        p_emails_failed integer DEFAULT 0,
    p_processing_time_ms integer DEFAULT 0, p_error_message text DEFAULT NULL, p_error_category text DEFAULT NULL,
    p_lease_token bigint DEFAULT NULL, p_retry_after_ms integer DEFAULT NULL
) RETURNS jsonb
LANGUAGE plpgsql VOLATILE SET search_path = chunk_sync, pg_temp AS $$
DECLARE
    v_outcome text;
    v_accepted boolean := false;
    v_category error_category := category_named(p_error_category);
    v_message text := p_error_message;
    v_answer jsonb;
BEGIN
    IF p_status NOT IN ('completed', 'failed') OR p_status IS NULL THEN
        RAISE EXCEPTION 'status is completed or failed, not %', p_status USING ERRCODE = 'CS005';
    END IF;
    IF NOT EXISTS (SELECT FROM chunk_processing_queue AS q WHERE q.chunk_id = p_chunk_id
        AND q.queue_id = p_queue_id) THEN
        RETURN jsonb_build_object('accepted', false, 'error', 'Chunk not found');
    END IF;
    IF p_status = 'completed' AND p_emails_failed > 0 THEN  -- mail that was not saved is not a completed chunk
        v_category := coalesce(v_category, 'processing_error');
        v_message := coalesce(v_message, format('%s messages were not saved', p_emails_failed));
    END IF;
    IF p_status = 'completed' AND coalesce(p_emails_failed, 0) <= 0 THEN
        v_outcome := (SELECT c.outcome FROM complete_chunks(
            ARRAY[p_chunk_id], ARRAY[p_lease_token], ARRAY[p_emails_processed],
                p_processing_time_ms => ARRAY[p_processing_time_ms]
        ) AS c);
        v_accepted := v_outcome <> 'stale';
    ELSE
        v_accepted := (SELECT f.accepted FROM fail_chunk(
            p_chunk_id, p_lease_token, coalesce(v_category, 'unknown'), v_message, p_retry_after_ms => p_retry_after_ms,
            p_processing_time_ms => p_processing_time_ms
        ) AS f);
    END IF;
    SELECT jsonb_build_object(
        'accepted', v_accepted, 'chunk_status', q.status, 'will_retry', v_accepted AND q.status = 'pending',
        'next_attempt_at', CASE WHEN q.status = 'pending' THEN q.available_at END, 'parent_status', s.overall_status,
        'parent_progress', s.progress_percentage, 'completed_chunks', s.completed_chunks, 'failed_chunks',
            s.failed_chunks,
        'total_chunks', s.total_chunks
    ) INTO v_answer
    FROM chunk_processing_queue AS q INNER JOIN chunk_processing_status AS s ON s.sync_job_id = q.sync_job_id
    WHERE q.chunk_id = p_chunk_id;
    IF v_accepted AND v_outcome IS DISTINCT FROM 'already' THEN
        PERFORM trigger_next_chunk_processing((SELECT j.public_id FROM sync_jobs AS j INNER JOIN sync_chunks AS c
            ON c.sync_job_id = j.id
            WHERE c.id = p_chunk_id));
    END IF;
    RETURN v_answer;
END $$;
