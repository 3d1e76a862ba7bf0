-- Sync jobs to be shown, of one mailbox or all: the open ones, and the last ones that ended.
(SELECT j.id FROM sync_jobs AS j
    WHERE j.status IN ('requested', 'planning', 'processing')
        AND (%(mailbox_id)s::bigint IS NULL OR j.mailbox_id = %(mailbox_id)s)
    ORDER BY j.id LIMIT %(open)s)
UNION ALL
(SELECT j.id FROM sync_jobs AS j
    WHERE j.completed_at IS NOT NULL AND (%(mailbox_id)s::bigint IS NULL OR j.mailbox_id = %(mailbox_id)s)
    ORDER BY j.completed_at DESC LIMIT %(ended)s)
