-- The sync jobs that a scope names by its public id: one job, a mailbox's or a tenant's, that are still to end. Raises
-- CS004 when there is no such job, mailbox or tenant.
CREATE OR REPLACE FUNCTION sync_jobs_in(p_scope sync_scope, p_public_id uuid) RETURNS SETOF sync_jobs
LANGUAGE plpgsql STABLE SET search_path = chunk_sync, pg_temp AS $$
DECLARE
    v_found boolean := CASE p_scope
        WHEN 'sync_job' THEN EXISTS (SELECT FROM sync_jobs AS j WHERE j.public_id = p_public_id)
        WHEN 'mailbox' THEN EXISTS (SELECT FROM mailboxes AS m WHERE m.public_id = p_public_id)
        ELSE EXISTS (SELECT FROM tenants AS t WHERE t.public_id = p_public_id)
    END;
BEGIN
    IF NOT v_found THEN
        RAISE EXCEPTION 'no % %', replace(p_scope::text, '_', ' '), p_public_id USING ERRCODE = 'CS004';
    END IF;
    RETURN QUERY SELECT j.* FROM sync_jobs AS j
    INNER JOIN mailboxes AS m ON m.id = j.mailbox_id
    INNER JOIN tenants AS t ON t.id = j.tenant_id
    WHERE p_public_id = CASE p_scope WHEN 'sync_job' THEN j.public_id WHEN 'mailbox'
        THEN m.public_id ELSE t.public_id END
        AND j.status IN ('requested', 'planning', 'processing')
    ORDER BY j.mailbox_id, j.id;
END $$;
