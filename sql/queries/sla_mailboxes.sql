-- The mailboxes of these tenants: when their first sync was asked for and when it was whole, as of when they are
-- synced, and when the sync that is under way should end.
SELECT m.tenant_id, m.id AS mailbox_id, m.name AS mailbox, l.paused, f.requested_at, f.completed_at, d.fresh_as_of,
    o.expected_at
FROM mailboxes AS m
INNER JOIN mailbox_lanes AS l ON l.mailbox_id = m.id
INNER JOIN LATERAL (
    SELECT min(j.created_at) AS requested_at, min(j.completed_at) FILTER (WHERE j.status = 'completed') AS completed_at
    FROM sync_jobs AS j WHERE j.mailbox_id = m.id AND j.status <> 'cancelled'
) AS f ON f.requested_at IS NOT NULL
LEFT JOIN LATERAL (
    SELECT j.started_at AS fresh_as_of FROM sync_jobs AS j
    WHERE j.mailbox_id = m.id AND j.status = 'completed' ORDER BY j.id DESC LIMIT 1
) AS d ON true
LEFT JOIN LATERAL (
    SELECT greatest(coalesce(x.expected_at, s.eta), l.not_before) AS expected_at
    FROM chunk_processing_status AS s
    LEFT JOIN LATERAL (
        SELECT f.expected_at FROM forecasts AS f
        WHERE f.sync_job_id = s.sync_job_id AND f.kind = 'job' AND f.scored_at IS NULL ORDER BY f.id DESC LIMIT 1
    ) AS x ON true
    WHERE s.sync_job_id = (SELECT max(j.id) FROM sync_jobs AS j WHERE j.mailbox_id = m.id AND j.status = 'processing')
) AS o ON true
WHERE m.tenant_id = ANY (%(tenant_ids)s::bigint[])
ORDER BY m.id
