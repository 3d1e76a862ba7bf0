-- Whether a job is the newest completed first sync of a whole mailbox: what next_sync_type() looks for.
CREATE OR REPLACE FUNCTION is_first_sync(p_sync_job_id bigint) RETURNS boolean
LANGUAGE plpgsql STABLE SET search_path = chunk_sync, pg_temp AS $$
BEGIN
    RETURN EXISTS (
        SELECT FROM sync_jobs j
        WHERE j.id = p_sync_job_id AND j.status = 'completed' AND j.sync_type = 'initial'
            AND j.sync_from IS NULL AND j.sync_to IS NULL
            AND NOT EXISTS (
                SELECT FROM sync_jobs f
                WHERE f.mailbox_id = j.mailbox_id AND f.id > j.id AND f.status = 'completed' AND f.sync_type = 'initial'
                    AND f.sync_from IS NULL AND f.sync_to IS NULL
            )
    );
END $$;
