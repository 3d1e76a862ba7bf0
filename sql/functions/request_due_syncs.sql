-- Ask for a sync of mailboxes whose interval is over since the last one was asked for, the longest overdue first. Not
-- of one that has an open job, or is paused: what is slow is not asked for twice. Returns what was asked for.
CREATE OR REPLACE FUNCTION request_due_syncs(p_limit integer DEFAULT 100, p_requested_by text DEFAULT current_user)
RETURNS TABLE (mailbox_id bigint, public_id uuid)
LANGUAGE plpgsql VOLATILE SET search_path = chunk_sync, pg_temp AS $$
#variable_conflict use_column
DECLARE
    v_due record;
BEGIN
    PERFORM pg_advisory_xact_lock(hashtextextended('chunk_sync.request_due_syncs', 0));  -- one at a time
    FOR v_due IN
        SELECT l.mailbox_id, m.name, t.name AS tenant
        FROM mailboxes AS m
        INNER JOIN mailbox_lanes AS l ON l.mailbox_id = m.id
        INNER JOIN tenants AS t ON t.id = m.tenant_id
        LEFT JOIN LATERAL (
            SELECT j.created_at FROM sync_jobs AS j WHERE j.mailbox_id = m.id ORDER BY j.id DESC LIMIT 1
        ) AS last ON true
        WHERE m.sync_every IS NOT NULL AND NOT l.paused AND coalesce(last.created_at + m.sync_every <= clock(), true)
            AND NOT EXISTS (
                SELECT FROM sync_jobs AS o
                WHERE o.mailbox_id = m.id AND o.status IN ('requested', 'planning', 'processing')
            )
        ORDER BY coalesce(last.created_at + m.sync_every, m.created_at), m.id
        LIMIT p_limit
    LOOP
        mailbox_id := v_due.mailbox_id;
        public_id := request_sync(v_due.name, p_tenant => v_due.tenant, p_requested_by => p_requested_by);
        RETURN NEXT;
    END LOOP;
END $$;
