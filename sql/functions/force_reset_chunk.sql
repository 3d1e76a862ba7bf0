-- Emergency: make a chunk wait again with all its attempts, whatever it is doing; a worker that has it is fenced off.
CREATE OR REPLACE FUNCTION force_reset_chunk(p_chunk_id bigint, p_reason text) RETURNS jsonb
LANGUAGE sql VOLATILE SET search_path = chunk_sync, pg_temp AS $$
    SELECT coalesce((
        SELECT jsonb_build_object('success', true, 'chunk_id', p_chunk_id, 'previous_status', r.was, 'chunk_status',
            'pending')
        FROM chunk_processing_queue AS q
        CROSS JOIN LATERAL reopen_chunks(q.sync_job_id, ARRAY[p_chunk_id], 'manual_force_reset', p_reason,
            p_all => true) AS r
        WHERE q.chunk_id = p_chunk_id
    ), jsonb_build_object('success', false, 'error', 'Chunk not found'))
$$;
