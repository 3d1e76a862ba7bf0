-- An incremental sync waits for earlier syncs of its mailbox that are still open: they move the cursor. Nothing is
-- planned that is paused.
CREATE OR REPLACE FUNCTION plan_is_free(p_sync_job_id bigint) RETURNS boolean
LANGUAGE sql STABLE SET search_path = chunk_sync, pg_temp AS $$
    SELECT j.paused_at IS NULL AND m.paused_at IS NULL AND t.paused_at IS NULL AND (j.sync_type <> 'incremental'
        OR NOT EXISTS (
        SELECT FROM sync_jobs e WHERE e.mailbox_id = j.mailbox_id AND e.id < j.id
            AND e.status IN ('requested', 'planning', 'processing') AND e.sync_type <> 'manual'
    ))
    FROM sync_jobs AS j
    INNER JOIN mailboxes AS m ON m.id = j.mailbox_id
    INNER JOIN tenant_lanes AS t ON t.tenant_id = j.tenant_id
    WHERE j.id = p_sync_job_id
$$;
