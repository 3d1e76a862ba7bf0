-- The mailboxes that a pause of this scope concerns. Raises CS004 when there is no such job, mailbox or tenant.
CREATE OR REPLACE FUNCTION paused_lanes(p_scope sync_scope, p_public_id uuid) RETURNS TABLE (mailbox_id bigint)
LANGUAGE plpgsql STABLE SET search_path = chunk_sync, pg_temp AS $$
#variable_conflict use_column
BEGIN
    PERFORM sync_jobs_in(p_scope, p_public_id);  -- for its refusal
    RETURN QUERY SELECT m.id FROM mailboxes AS m INNER JOIN tenants AS t ON t.id = m.tenant_id
    WHERE CASE p_scope
        WHEN 'sync_job' THEN m.id = (SELECT j.mailbox_id FROM sync_jobs AS j WHERE j.public_id = p_public_id)
        WHEN 'mailbox' THEN m.public_id = p_public_id
        ELSE t.public_id = p_public_id
    END ORDER BY m.id;
END $$;
