-- Open syncs that nobody has paused of mailboxes to which something was promised: until when they have to be over (the
-- first sync, or the next one, before what has landed is too old), and when they will be.
SELECT t.name AS tenant, m.name AS mailbox, d.objective, d.deadline_at, f.expected_at, f.high_at
FROM sync_jobs AS j
INNER JOIN tenants AS t ON t.id = j.tenant_id
INNER JOIN mailboxes AS m ON m.id = j.mailbox_id
INNER JOIN mailbox_lanes AS l ON l.mailbox_id = j.mailbox_id
INNER JOIN sla_deadlines AS d ON d.mailbox_id = j.mailbox_id
LEFT JOIN LATERAL (
    SELECT greatest(x.expected_at, l.not_before) AS expected_at, greatest(x.high_at, l.not_before) AS high_at
    FROM forecasts AS x WHERE x.sync_job_id = j.id AND x.kind = 'job' AND x.scored_at IS NULL
    ORDER BY x.id DESC LIMIT 1
) AS f ON true
WHERE j.status IN ('requested', 'planning', 'processing') AND j.paused_at IS NULL AND NOT l.paused
    AND d.deadline_at IS NOT NULL
ORDER BY d.deadline_at, j.id
