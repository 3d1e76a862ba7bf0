-- What a hint that a mailbox changed is worth. A whole sync that has not begun to plan will see the change by itself.
-- Where none was ever asked for that could have been planned, nobody wants the mailbox yet.
SELECT m.name, t.name AS tenant,
    EXISTS (
        SELECT FROM sync_jobs AS j
        WHERE j.mailbox_id = m.id AND j.sync_from IS NULL AND j.sync_to IS NULL
            AND j.status = 'requested' AND j.sync_type <> 'manual'
    ) AS is_waiting,
    EXISTS (
        SELECT FROM sync_jobs AS j
        WHERE j.mailbox_id = m.id AND j.sync_from IS NULL AND j.sync_to IS NULL
            AND j.status <> 'cancelled' AND (j.status <> 'failed' OR j.total_chunks > 0)
    ) AS is_wanted
FROM mailboxes AS m INNER JOIN tenants AS t ON t.id = m.tenant_id
WHERE m.id = %(mailbox_id)s
