-- Complete leased chunks, each with its counts: queue rows, lanes, attempts, jobs, all or nothing of each chunk.
-- Answers for each chunk: done; already (the same completion again, after a lost answer: nothing changes); or stale
-- (the lease is not held any more: nothing of it was taken).
CREATE OR REPLACE FUNCTION complete_chunks(
    p_chunk_ids bigint[], p_lease_tokens bigint[], p_inserted integer[], p_unchanged integer[] DEFAULT NULL,
    p_absent integer[] DEFAULT NULL, p_quarantined integer[] DEFAULT NULL, p_bytes bigint[] DEFAULT NULL,
    p_processing_time_ms integer[] DEFAULT NULL, p_memory_usage bigint[] DEFAULT NULL, p_metadata jsonb[] DEFAULT NULL
) RETURNS TABLE (chunk_id bigint, outcome text)
LANGUAGE plpgsql VOLATILE SET search_path = chunk_sync, pg_temp SET plan_cache_mode = force_generic_plan
SET enable_seqscan = off SET jit = off AS $$
#variable_conflict use_column
DECLARE
    v_now timestamptz := clock();
    v_lanes tid[];
    v_done bigint[];
    v_tokens bigint[];
    v_providers text[];
    v_ended bigint[];
    v_ill boolean;
    v_job_id bigint;
BEGIN
    SELECT array_agg(x.tid) INTO v_lanes        -- as lock_lanes does
    FROM (SELECT DISTINCT q.mailbox_id FROM chunk_processing_queue AS q WHERE q.chunk_id = ANY (p_chunk_ids)
        ORDER BY q.mailbox_id) AS u
    CROSS JOIN LATERAL (
        SELECT l.ctid AS tid FROM mailbox_lanes AS l WHERE l.mailbox_id = u.mailbox_id
            ORDER BY l.version DESC LIMIT 1 FOR NO KEY UPDATE
    ) AS x;
    WITH locked AS MATERIALIZED (
        SELECT l.ctid AS tid, l.mailbox_id FROM mailbox_lanes AS l WHERE l.ctid = ANY (v_lanes)
    ), done AS (
        UPDATE chunk_processing_queue AS q
        SET status = 'completed', completed_at = v_now, error_category = NULL, emails_inserted = coalesce(g.inserted,
            0),
            emails_unchanged = coalesce(g.unchanged, 0), emails_absent = coalesce(g.absent, 0),
            emails_quarantined = coalesce(g.quarantined, 0), bytes_processed = coalesce(g.bytes, 0)
        FROM unnest(
            p_chunk_ids, p_lease_tokens, p_inserted, p_unchanged, p_absent, p_quarantined, p_bytes,
                p_processing_time_ms,
            p_memory_usage, p_metadata
        ) AS g (chunk_id, lease_token, inserted, unchanged, absent, quarantined, bytes, ms, memory_usage, metadata)
        WHERE q.chunk_id = g.chunk_id AND q.lease_token = g.lease_token AND q.status = 'processing'
        RETURNING q.chunk_id, q.queue_id, q.tenant_id, q.mailbox_id, q.sync_job_id, q.lease_token, q.worker_id,
            q.attempts,
            q.estimated_emails, q.bytes_processed, coalesce(g.ms, 0) AS ms, g.memory_usage, coalesce(g.metadata,
                '{}') AS metadata,
            q.emails_inserted + q.emails_unchanged + q.emails_absent + q.emails_quarantined AS emails
    ), lane AS (
        UPDATE mailbox_lanes AS l SET held = ARRAY(SELECT h.id FROM unnest(l.held) AS h (id)
            WHERE h.id <> ALL (d.chunk_ids)), breaker = 'closed', breaker_failures = 0, breaker_trips = 0,
            -- A quiet minute, and the mailbox may have one connection more; NULL: as many as its limit says.
            allowed = CASE WHEN l.allowed_at > v_now - interval '1 minute' THEN l.allowed
                WHEN l.allowed + 1 < l.connection_limit THEN l.allowed + 1 END,
            allowed_at = CASE WHEN l.allowed_at > v_now - interval '1 minute' THEN l.allowed_at
                WHEN l.allowed + 1 < l.connection_limit THEN v_now END
        FROM (
            SELECT x.tid, array_agg(done.chunk_id) AS chunk_ids FROM done INNER JOIN locked AS x
                ON x.mailbox_id = done.mailbox_id GROUP BY x.tid
        ) AS d
        WHERE l.ctid = ANY (v_lanes) AND d.tid = l.ctid
        RETURNING l.mailbox_id, l.provider
    ), attempt AS (
        INSERT INTO chunked_sync_health_monitoring (
            chunk_job_id, queue_id, tenant_id, mailbox_id, sync_job_id, chunk_id, lease_token, worker_id,
                attempt_number, status,
            processing_time_ms, chunk_size, emails_processed, efficiency_ratio, memory_usage, metadata, provider,
                created_at, bytes_processed, requests
        )
        SELECT d.queue_id, d.queue_id, d.tenant_id, d.mailbox_id, d.sync_job_id, d.chunk_id, d.lease_token, w.name,
            d.attempts,
            'success', d.ms, d.estimated_emails, d.emails, CASE WHEN d.ms > 0
                THEN least(round(d.emails * 1000.0 / d.ms, 2), 9999999999) END,
            d.memory_usage, d.metadata, l.provider, v_now, d.bytes_processed, (d.metadata ->> 'requests')::integer
        FROM done AS d
        INNER JOIN lane AS l ON l.mailbox_id = d.mailbox_id
        LEFT JOIN workers AS w ON w.id = d.worker_id
    ), job AS (
        UPDATE sync_jobs AS j
        SET completed_chunks = j.completed_chunks + d.chunks, emails_processed = j.emails_processed + d.emails,
            bytes_processed = j.bytes_processed + d.bytes, last_completed_at = v_now
        FROM (
            SELECT x.sync_job_id AS id, count(*) AS chunks, sum(x.emails) AS emails, sum(x.bytes_processed) AS bytes
            FROM done AS x GROUP BY x.sync_job_id
        ) AS d WHERE j.id = d.id
        RETURNING j.id, j.completed_chunks + j.failed_chunks + j.cancelled_chunks = j.total_chunks AS ended
    )
    SELECT coalesce(array_agg(d.chunk_id), '{}'), array_agg(d.lease_token), (SELECT array_agg(DISTINCT l.provider)
        FROM lane AS l),
        ARRAY(SELECT j.id FROM job AS j WHERE j.ended), EXISTS (SELECT FROM provider_lanes AS p
            WHERE p.breaker <> 'closed')
    INTO v_done, v_tokens, v_providers, v_ended, v_ill FROM done AS d;
    FOREACH v_job_id IN ARRAY v_ended LOOP
        PERFORM settle_sync_job(v_job_id, 0, 0, 0, 0, 0);  -- closes it
    END LOOP;
    -- A chunk has landed, so its provider is well. When a claim holds the provider's row, the next completion says so.
    IF v_ill THEN
        UPDATE provider_lanes SET breaker = 'closed', breaker_trips = 0, not_before = 'epoch' WHERE provider IN (
            SELECT p.provider FROM provider_lanes AS p WHERE p.breaker <> 'closed' AND p.provider = ANY (v_providers)
            FOR NO KEY UPDATE SKIP LOCKED
        );
    END IF;
    IF cardinality(v_done) = cardinality(p_chunk_ids) THEN
        RETURN QUERY SELECT d.chunk_id, 'done' FROM unnest(v_done) AS d (chunk_id);
        RETURN;
    END IF;
    RETURN QUERY SELECT g.chunk_id, CASE
        WHEN EXISTS (SELECT FROM unnest(v_done, v_tokens) AS d (chunk_id, lease_token)
            WHERE d.chunk_id = g.chunk_id AND d.lease_token = g.lease_token) THEN 'done'
        WHEN EXISTS (SELECT FROM chunk_processing_queue AS q
            WHERE q.chunk_id = g.chunk_id AND q.lease_token = g.lease_token AND q.status = 'completed') THEN 'already'
        ELSE 'stale'
    END FROM unnest(p_chunk_ids, p_lease_tokens) AS g (chunk_id, lease_token);
END $$;
