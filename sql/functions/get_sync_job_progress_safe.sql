-- The status row of one sync job as JSON, by its public id.
CREATE OR REPLACE FUNCTION get_sync_job_progress_safe(p_parent_sync_job_id uuid) RETURNS json
LANGUAGE sql STABLE SET search_path = chunk_sync, pg_temp AS $$
    SELECT coalesce(
        (SELECT to_json(s) FROM chunk_processing_status s WHERE s.parent_sync_job_id = p_parent_sync_job_id),
        json_build_object('error', 'Sync job not found')
    )
$$;
