-- What a plain "sync" means: incremental once a whole first sync was completed, initial before.
CREATE OR REPLACE FUNCTION next_sync_type(p_mailbox_id bigint) RETURNS sync_type
LANGUAGE sql STABLE SET search_path = chunk_sync, pg_temp AS $$
    SELECT CASE WHEN EXISTS (
        SELECT FROM sync_jobs j WHERE j.mailbox_id = p_mailbox_id AND j.status = 'completed'
            AND j.sync_type = 'initial' AND j.sync_from IS NULL AND j.sync_to IS NULL
    ) THEN 'incremental' ELSE 'initial' END::sync_type
$$;
