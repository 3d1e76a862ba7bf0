-- Hold the forecasts of mailboxes and of the backlog against the end of the last job of which they spoke. Work that is
-- paused or that was cancelled is not waited for. Returns what was scored.
WITH done AS MATERIALIZED (
    SELECT f.id, coalesce(greatest(e.at, f.made_at), f.made_at) AS ended_at
    FROM forecasts AS f
    CROSS JOIN LATERAL (
        SELECT max(j.completed_at) AS at FROM sync_jobs AS j
        WHERE j.completed_at > f.made_at AND j.status <> 'cancelled' AND j.id <= f.sync_job_id
            AND (f.mailbox_id IS NULL OR j.mailbox_id = f.mailbox_id)
    ) AS e
    WHERE f.scored_at IS NULL AND f.kind <> 'job' AND NOT EXISTS (
        SELECT FROM sync_jobs AS j INNER JOIN mailbox_lanes AS l ON l.mailbox_id = j.mailbox_id
        WHERE j.status IN ('requested', 'planning', 'processing') AND j.id <= f.sync_job_id
            AND (f.mailbox_id IS NULL OR j.mailbox_id = f.mailbox_id) AND NOT l.paused AND j.paused_at IS NULL
    )
    ORDER BY f.id LIMIT %(limit)s FOR UPDATE OF f SKIP LOCKED
)

UPDATE forecasts AS f SET ended_at = d.ended_at, scored_at = clock(),
    inside = d.ended_at BETWEEN f.low_at AND f.high_at,
    error = extract(EPOCH FROM f.expected_at - d.ended_at) / greatest(extract(EPOCH FROM d.ended_at - f.made_at), 1)
FROM done AS d WHERE f.id = d.id
RETURNING f.id
