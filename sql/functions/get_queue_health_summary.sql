-- The attempts at a chunk (its queue id) or at all chunks of a sync job (its public id) as JSON, as far as they are
-- kept. failed_chunks are attempts, those that ended with a lost lease among them; recovered_chunks are these alone.
CREATE OR REPLACE FUNCTION get_queue_health_summary(p_queue_id uuid) RETURNS json
LANGUAGE plpgsql STABLE SET search_path = chunk_sync, pg_temp AS $$
DECLARE
    v_sync_job_id bigint;
    v_chunk_id bigint;
BEGIN
    SELECT c.sync_job_id, c.id INTO v_sync_job_id, v_chunk_id FROM sync_chunks c WHERE c.public_id = p_queue_id;
    IF NOT FOUND THEN
        SELECT j.id INTO v_sync_job_id FROM sync_jobs j WHERE j.public_id = p_queue_id;
    END IF;
    IF v_sync_job_id IS NULL THEN
        RETURN json_build_object('error', 'Queue not found');
    END IF;
    RETURN (
        SELECT json_build_object(
            'queue_id', p_queue_id, 'total_chunks', count(*),
            'successful_chunks', count(*) FILTER (WHERE h.status = 'success'),
            'failed_chunks', count(*) FILTER (WHERE h.status <> 'success'),
            'recovered_chunks', count(*) FILTER (WHERE h.status = 'recovery'),
            'avg_processing_time_ms', round(avg(h.processing_time_ms), 2)::double precision,
            'avg_efficiency_ratio',
            round(avg(h.efficiency_ratio) FILTER (WHERE h.status = 'success'), 2)::double precision,
            'error_categories',
            coalesce(json_agg(DISTINCT h.error_category::text) FILTER (WHERE h.error_category IS NOT NULL), '[]'),
            'last_activity', max(h.created_at),
            'performance_trend', json_build_object(
                'fastest_chunk_ms', min(h.processing_time_ms), 'slowest_chunk_ms', max(h.processing_time_ms),
                'total_processing_time_ms', coalesce(sum(h.processing_time_ms), 0)
            )
        )
        FROM chunked_sync_health_monitoring h
        WHERE h.sync_job_id = v_sync_job_id AND (v_chunk_id IS NULL OR h.chunk_id = v_chunk_id)
    );
END $$;
