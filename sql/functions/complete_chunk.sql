-- Complete a leased chunk: counts, the attempt's row, the parent. Called last in the transaction that lands
-- the messages, so landing and completion are one. A stale lease raises CS001, which takes the landing with it;
-- the same completion again (a lost answer) is accepted and changes nothing.
CREATE OR REPLACE FUNCTION complete_chunk(
    p_chunk_id bigint, p_lease_token bigint, p_inserted integer, p_unchanged integer, p_absent integer,
    p_quarantined integer, p_bytes bigint, p_processing_time_ms integer, p_metadata jsonb DEFAULT '{}',
    p_memory_usage bigint DEFAULT NULL
) RETURNS sync_job_status
LANGUAGE plpgsql VOLATILE SET search_path = chunk_sync, pg_temp AS $$
DECLARE
    v_queue chunk_processing_queue;
    v_emails integer := p_inserted + p_unchanged + p_absent + p_quarantined;
BEGIN
    SELECT * INTO v_queue FROM chunk_processing_queue q
    WHERE q.chunk_id = p_chunk_id AND q.lease_token = p_lease_token AND q.status = 'processing' FOR NO KEY UPDATE;
    IF NOT FOUND THEN
        IF EXISTS (SELECT FROM chunk_processing_queue q WHERE q.chunk_id = p_chunk_id AND q.lease_token = p_lease_token AND q.status = 'completed') THEN
            RETURN (SELECT j.status FROM sync_jobs j, sync_chunks c WHERE c.id = p_chunk_id AND j.id = c.sync_job_id);
        END IF;
        RAISE EXCEPTION 'lease % on chunk % is not held any more', p_lease_token, p_chunk_id USING ERRCODE = 'CS001';
    END IF;
    UPDATE chunk_processing_queue
    SET status = 'completed', worker_id = NULL, completed_at = clock(), error_category = NULL
    WHERE chunk_id = p_chunk_id;
    UPDATE sync_chunks
    SET emails_inserted = p_inserted, emails_unchanged = p_unchanged, emails_absent = p_absent,
        emails_quarantined = p_quarantined, bytes_processed = p_bytes, reported_at = NULL
    WHERE id = p_chunk_id;
    PERFORM record_attempt(p_chunk_id, v_queue.lease_token, v_queue.attempts, 'success', p_processing_time_ms,
        v_emails, NULL, NULL, NULL, NULL, p_memory_usage, p_metadata, v_queue.worker_id);
    RETURN settle_sync_job(v_queue.sync_job_id, 1, 0, 0, v_emails, p_bytes);
END $$;
