-- Ask for a sync of mailboxes whose interval is over, see schedules_due, the longest overdue first. Returns what was
-- asked for.
CREATE OR REPLACE FUNCTION request_due_syncs(p_limit integer DEFAULT 100, p_requested_by text DEFAULT current_user)
RETURNS TABLE (mailbox_id bigint, public_id uuid)
LANGUAGE plpgsql VOLATILE SET search_path = chunk_sync, pg_temp AS $$
#variable_conflict use_column
DECLARE
    v_due record;
BEGIN
    PERFORM pg_advisory_xact_lock(hashtextextended('chunk_sync.request_due_syncs', 0));  -- one at a time
    FOR v_due IN
        SELECT d.mailbox_id, m.name, t.name AS tenant
        FROM schedules_due(clock()) AS d
        INNER JOIN mailboxes AS m ON m.id = d.mailbox_id
        INNER JOIN tenants AS t ON t.id = d.tenant_id
        ORDER BY d.due_at, d.mailbox_id
        LIMIT p_limit
    LOOP
        mailbox_id := v_due.mailbox_id;
        public_id := request_sync(v_due.name, p_tenant => v_due.tenant, p_requested_by => p_requested_by);
        RETURN NEXT;
    END LOOP;
END $$;
