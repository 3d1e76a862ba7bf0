-- Make chunks of one job wait again with all their attempts: the old lease is dead, the job is open again, and who
-- did it and why is kept. Pending ones are made due now, with p_all also with all their attempts; ones that are being
-- processed are taken from their worker with p_all and left alone without. Returns each with the status it had.
CREATE OR REPLACE FUNCTION reopen_chunks(
    p_sync_job_id bigint, p_chunk_ids bigint[], p_action text, p_reason text, p_actor text DEFAULT current_user,
    p_run_id text DEFAULT NULL, p_all boolean DEFAULT false
) RETURNS TABLE (chunk_id bigint, was chunk_status)
LANGUAGE plpgsql VOLATILE SET search_path = chunk_sync, pg_temp AS $$
#variable_conflict use_column
DECLARE
    v_now timestamptz := clock();
    v_job sync_jobs;
    v_chunks chunk_processing_queue[];
    v_ended record;
BEGIN
    PERFORM lock_lanes(ARRAY(SELECT j.mailbox_id FROM sync_jobs AS j WHERE j.id = p_sync_job_id));
    -- Locked: retention holds the row of a job whose chunks it deletes.
    SELECT * INTO v_job FROM sync_jobs AS j WHERE j.id = p_sync_job_id FOR NO KEY UPDATE;
    SELECT coalesce(array_agg(q), '{}') INTO v_chunks FROM chunk_processing_queue AS q
    WHERE q.sync_job_id = p_sync_job_id AND q.chunk_id = ANY (p_chunk_ids);
    UPDATE chunk_processing_queue AS q
    SET status = 'pending', worker_id = NULL, available_at = v_now, completed_at = NULL,
        turn_at = CASE WHEN v_job.paused_at IS NOT NULL THEN 'infinity' ELSE turn_of(v_now, q.priority) END,
        attempts = CASE WHEN q.status = 'pending' AND NOT p_all THEN q.attempts ELSE 0 END,
        lost_leases = CASE WHEN q.status = 'pending' AND NOT p_all THEN q.lost_leases ELSE 0 END,
        emails_inserted = 0, emails_unchanged = 0, emails_absent = 0, emails_quarantined = 0, bytes_processed = 0
    FROM unnest(v_chunks) AS c WHERE q.chunk_id = c.chunk_id AND (p_all OR q.status <> 'processing');
    UPDATE sync_chunks AS s SET reported_at = NULL
    FROM unnest(v_chunks) AS c WHERE s.id = c.chunk_id AND c.status = 'completed';
    PERFORM put_back(ARRAY(SELECT c FROM unnest(v_chunks) AS c WHERE c.status = 'processing' AND p_all));
    PERFORM refresh_lane(v_job.mailbox_id, min(turn_of(v_now, c.priority)), min(c.chunk_id))
    FROM unnest(v_chunks) AS c HAVING count(*) > 0;
    SELECT count(*) FILTER (WHERE c.status = 'completed')::integer AS completed,
        count(*) FILTER (WHERE c.status = 'failed')::integer AS failed,
        count(*) FILTER (WHERE c.status = 'cancelled')::integer AS cancelled, coalesce(sum(c.bytes_processed),
            0)::bigint AS bytes,
        coalesce(sum(c.emails_inserted + c.emails_unchanged + c.emails_absent + c.emails_quarantined),
            0)::bigint AS emails,
        count(*) FILTER (WHERE p_all OR c.status NOT IN ('pending', 'processing'))::integer AS affected
    INTO v_ended FROM unnest(v_chunks) AS c;
    IF v_ended.affected > 0 THEN
        INSERT INTO audit_log (actor, action, tenant_id, sync_job_id, chunks_affected, reason, run_id, details)
        VALUES (p_actor, p_action, v_job.tenant_id, p_sync_job_id, v_ended.affected, p_reason, p_run_id,
            (SELECT jsonb_object_agg(c.chunk_id, c.status) FROM unnest(v_chunks) AS c));
        PERFORM settle_sync_job(
            p_sync_job_id, -v_ended.completed, -v_ended.failed, -v_ended.cancelled, -v_ended.emails, -v_ended.bytes
        );
    END IF;
    RETURN QUERY SELECT c.chunk_id, c.status FROM unnest(v_chunks) AS c;
END $$;
