-- An incremental sync waits for earlier syncs of its mailbox that are still open: they move the cursor.
CREATE OR REPLACE FUNCTION plan_is_free(p_sync_job_id bigint) RETURNS boolean
LANGUAGE sql STABLE SET search_path = chunk_sync, pg_temp AS $$
    SELECT j.sync_type <> 'incremental' OR NOT EXISTS (
        SELECT FROM sync_jobs e WHERE e.mailbox_id = j.mailbox_id AND e.id < j.id
            AND e.status IN ('requested', 'planning', 'processing') AND e.sync_type <> 'manual'
    )
    FROM sync_jobs j WHERE j.id = p_sync_job_id
$$;
