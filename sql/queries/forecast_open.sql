-- Open jobs that nobody has paused, in the order of service, each with its newest forecast, if there is one; and how
-- old the newest forecast of the backlog is, in seconds.
SELECT j.id AS sync_job_id, j.tenant_id, t.name AS tenant, j.mailbox_id, m.name AS mailbox, j.priority,
    j.status::text AS status, j.emails_processed AS landed,
    greatest(j.emails_estimated - j.emails_processed, 0) AS remaining, j.emails_estimated AS planned,
    extract(EPOCH FROM f.low_at)::double precision AS low,
    extract(EPOCH FROM f.expected_at)::double precision AS expected,
    extract(EPOCH FROM f.high_at)::double precision AS high, f.rate, f.spread, f.why,
    extract(EPOCH FROM f.made_at)::double precision AS made,
    CASE WHEN l.not_before > n.at THEN extract(EPOCH FROM l.not_before)::double precision END AS turned_away_until,
    l.held <> '{}' AS moving, extract(EPOCH FROM n.at)::double precision AS now,
    extract(EPOCH FROM n.at - (
        SELECT b.made_at FROM forecasts AS b WHERE b.kind = 'backlog' AND b.scored_at IS NULL ORDER BY b.id DESC LIMIT 1
    ))::double precision AS backlog_age
FROM (SELECT clock() AS at) AS n
CROSS JOIN sync_jobs AS j
INNER JOIN mailbox_lanes AS l ON l.mailbox_id = j.mailbox_id
INNER JOIN mailboxes AS m ON m.id = j.mailbox_id
INNER JOIN tenants AS t ON t.id = j.tenant_id
LEFT JOIN LATERAL (
    SELECT x.* FROM forecasts AS x WHERE x.sync_job_id = j.id AND x.kind = 'job' AND x.scored_at IS NULL
    ORDER BY x.id DESC LIMIT 1
) AS f ON true
WHERE j.status IN ('requested', 'planning', 'processing') AND NOT l.paused AND j.paused_at IS NULL
ORDER BY j.priority DESC, j.id
