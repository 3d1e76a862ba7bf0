-- Claim one chunk, whichever is due, for a worker known by its name: a claim is a sign of life, and a new name a new
-- worker. Answers {success, chunk_job}.
CREATE OR REPLACE FUNCTION claim_next_chunk_job_safe(p_worker_id text) RETURNS jsonb
LANGUAGE plpgsql VOLATILE SET search_path = chunk_sync, pg_temp AS $$
DECLARE
    v_worker_id bigint;
    v_chunk_job jsonb;
BEGIN
    SELECT w.id INTO v_worker_id FROM workers AS w
    WHERE w.name = p_worker_id AND w.ended_at IS NULL AND w.lease_until >= clock() ORDER BY w.id DESC LIMIT 1;
    IF v_worker_id IS NULL OR NOT heartbeat(v_worker_id) THEN
        v_worker_id := open_worker(p_worker_id);
    END IF;
    SELECT jsonb_build_object(
        'queue_id', q.queue_id, 'chunk_id', q.chunk_id, 'lease_token', k.lease_token, 'mailbox_id', q.mailbox_id,
        'tenant_id', q.tenant_id, 'parent_sync_job_id', j.public_id, 'chunk_index', q.chunk_index,
        'total_chunks', j.total_chunks, 'start_offset', c.start_offset, 'end_offset', c.end_offset,
        'estimated_emails', c.estimated_emails, 'sync_type', j.sync_type, 'sync_from', j.sync_from, 'sync_to',
            j.sync_to,
        'attempts', k.attempts, 'max_attempts', k.max_attempts,
        'span', jsonb_build_object('folder', f.key, 'uidvalidity', c.uidvalidity, 'uids', c.uids, 'provider_ids',
            c.provider_ids)
    ) INTO v_chunk_job
    FROM claim_chunks(v_worker_id, 1) AS k
    INNER JOIN chunk_processing_queue AS q ON q.chunk_id = k.chunk_id
    INNER JOIN sync_chunks AS c ON c.id = k.chunk_id
    INNER JOIN folders AS f ON f.id = c.folder_id
    INNER JOIN sync_jobs AS j ON j.id = q.sync_job_id;
    RETURN jsonb_build_object('success', v_chunk_job IS NOT NULL, 'chunk_job', v_chunk_job);
END $$;
