-- Emergency: make all failed and processing chunks of a job wait again with all their attempts.
CREATE OR REPLACE FUNCTION reset_sync_job_chunks(p_parent_sync_job_id uuid, p_reason text) RETURNS jsonb
LANGUAGE sql VOLATILE SET search_path = chunk_sync, pg_temp AS $$
    SELECT coalesce((
        SELECT jsonb_build_object('success', true, 'sync_job_id', j.public_id, 'reset_count', (
            SELECT count(*) FROM reopen_chunks(j.id, ARRAY(
                SELECT q.chunk_id FROM chunk_processing_queue AS q
                WHERE q.sync_job_id = j.id AND q.status IN ('failed', 'processing')
            ), 'sync_job_reset', p_reason, p_all => true)
        ))
        FROM sync_jobs AS j WHERE j.public_id = p_parent_sync_job_id
    ), jsonb_build_object('success', false, 'error', 'Sync job not found'))
$$;
