-- Keep what will be left of a sync job: its status row, and why its dead letters failed (of the first thousand). A job
-- that was archived before and has run again since is archived anew.
CREATE OR REPLACE FUNCTION archive_job(p_sync_job_id bigint, p_reason text, p_actor text) RETURNS void
LANGUAGE plpgsql VOLATILE SET search_path = chunk_sync, pg_temp AS $$
DECLARE
    v_dead_letters jsonb;
BEGIN
    SELECT coalesce(jsonb_agg(to_jsonb(d) ORDER BY d.chunk_index), '[]') INTO v_dead_letters FROM (
        SELECT q.queue_id, q.chunk_index, q.attempts, q.error_category, h.error_code, h.error_message
        FROM chunk_processing_queue q LEFT JOIN LATERAL (
            SELECT a.error_code, a.error_message FROM chunked_sync_health_monitoring a
            WHERE a.sync_job_id = q.sync_job_id AND a.chunk_id = q.chunk_id AND a.status <> 'success'
            ORDER BY a.created_at DESC LIMIT 1
        ) h ON true
        WHERE q.sync_job_id = p_sync_job_id AND q.status = 'failed' ORDER BY q.chunk_index LIMIT 1000
    ) d;
    INSERT INTO archived_sync_jobs AS a (
        sync_job_id, public_id, tenant_id, mailbox_id, status, dead_letters, archived_by, reason
    )
    SELECT p_sync_job_id, s.parent_sync_job_id, s.tenant_id, s.mailbox_id, to_jsonb(s), v_dead_letters, p_actor,
        p_reason
    FROM chunk_processing_status s WHERE s.sync_job_id = p_sync_job_id
    ON CONFLICT (sync_job_id) DO UPDATE
    SET status = EXCLUDED.status, dead_letters = EXCLUDED.dead_letters, archived_at = clock(),
        archived_by = EXCLUDED.archived_by, reason = EXCLUDED.reason;
END $$;
