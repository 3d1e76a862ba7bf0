-- What is open and due now or soon, a row per sync job that nobody has paused, or sync that will be asked for by then:
-- chunks that have not ended (one for what is not planned yet), connections that the mailbox has, limits of its tenant
-- and its provider, and seconds until a promise about it is broken. Reads open jobs, and the last one of mailboxes.
SELECT w.mailbox_id, w.tenant_id, l.provider, w.chunks, least(l.connection_limit, l.allowed)::integer AS connections,
    tl.chunk_limit AS tenant_limit,
    CASE WHEN p.breaker = 'closed' THEN p.chunk_limit WHEN p.not_before > n.soon THEN 0 ELSE 1 END AS provider_limit,
    extract(EPOCH FROM d.deadline_at - n.at)::double precision AS deadline
FROM (SELECT clock() AS at, clock() + r.look_ahead AS soon FROM queue_rules AS r) AS n
CROSS JOIN LATERAL (
    SELECT j.mailbox_id, j.tenant_id, CASE WHEN j.status = 'processing'
        THEN j.total_chunks - j.completed_chunks - j.failed_chunks - j.cancelled_chunks ELSE 1 END AS chunks
    FROM sync_jobs AS j
    WHERE j.status IN ('requested', 'planning', 'processing') AND j.paused_at IS NULL AND j.plan_available_at <= n.soon
    UNION ALL
    SELECT s.mailbox_id, s.tenant_id, 1 FROM schedules_due(n.soon) AS s
) AS w
INNER JOIN mailbox_lanes AS l ON l.mailbox_id = w.mailbox_id AND NOT l.paused AND l.not_before <= n.soon
INNER JOIN tenant_lanes AS tl ON tl.tenant_id = w.tenant_id
INNER JOIN provider_lanes AS p ON p.provider = l.provider
LEFT JOIN sla_deadlines AS d ON d.mailbox_id = w.mailbox_id
