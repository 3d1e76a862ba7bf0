-- Mailboxes whose interval is over by a moment since their last sync was asked for, and when it is. Not one that has an
-- open job, or is paused: what is slow is not asked for twice.
CREATE OR REPLACE FUNCTION schedules_due(p_by timestamptz)
RETURNS TABLE (mailbox_id bigint, tenant_id bigint, due_at timestamptz)
LANGUAGE sql STABLE SET search_path = chunk_sync, pg_temp AS $$
SELECT m.id, m.tenant_id, coalesce(last.created_at + m.sync_every, m.created_at)
FROM mailboxes AS m
INNER JOIN mailbox_lanes AS l ON l.mailbox_id = m.id
LEFT JOIN LATERAL (
    SELECT j.created_at FROM sync_jobs AS j WHERE j.mailbox_id = m.id ORDER BY j.id DESC LIMIT 1
) AS last ON true
WHERE m.sync_every IS NOT NULL AND NOT l.paused AND coalesce(last.created_at + m.sync_every <= p_by, true)
    AND NOT EXISTS (
        SELECT FROM sync_jobs AS o
        WHERE o.mailbox_id = m.id AND o.status IN ('requested', 'planning', 'processing')
    )
$$;
