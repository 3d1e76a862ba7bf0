-- Note since when a sync job, mailbox or tenant is paused (NULL: it is not), and tell its lanes. The caller holds them.
CREATE OR REPLACE FUNCTION mark_paused(p_scope sync_scope, p_public_id uuid, p_since timestamptz) RETURNS void
LANGUAGE plpgsql VOLATILE SET search_path = chunk_sync, pg_temp AS $$
BEGIN
    CASE p_scope
        WHEN 'sync_job' THEN
            UPDATE sync_jobs SET paused_at = p_since WHERE public_id = p_public_id;
        WHEN 'mailbox' THEN
            UPDATE mailboxes SET paused_at = p_since WHERE public_id = p_public_id;
        ELSE
            UPDATE tenant_lanes SET paused_at = p_since FROM tenants AS t WHERE t.public_id = p_public_id
                AND tenant_id = t.id;
    END CASE;
    UPDATE mailbox_lanes AS l SET paused = m.paused_at IS NOT NULL OR t.paused_at IS NOT NULL
    FROM paused_lanes(p_scope, p_public_id) AS p, mailboxes AS m, tenant_lanes AS t
    WHERE l.mailbox_id = p.mailbox_id AND m.id = p.mailbox_id AND t.tenant_id = m.tenant_id;
END $$;
