-- What is open and due now or soon, a row per sync job that nobody has paused: chunks that have not ended (one for a
-- job that is not planned yet), connections that the mailbox has, limits of its tenant and its provider, and seconds
-- until a promise about it is broken. Only open jobs are read.
SELECT j.mailbox_id, j.tenant_id, l.provider,
    CASE WHEN j.status = 'processing' THEN j.total_chunks - j.completed_chunks - j.failed_chunks - j.cancelled_chunks
        ELSE 1 END AS chunks,
    least(l.connection_limit, l.allowed)::integer AS connections, tl.chunk_limit AS tenant_limit,
    CASE WHEN p.breaker = 'closed' THEN p.chunk_limit WHEN p.not_before > n.soon THEN 0 ELSE 1 END AS provider_limit,
    extract(EPOCH FROM d.deadline_at - n.at)::double precision AS deadline
FROM (SELECT clock() AS at, clock() + r.look_ahead AS soon FROM queue_rules AS r) AS n
CROSS JOIN sync_jobs AS j
INNER JOIN mailbox_lanes AS l ON l.mailbox_id = j.mailbox_id
INNER JOIN tenant_lanes AS tl ON tl.tenant_id = j.tenant_id
INNER JOIN provider_lanes AS p ON p.provider = l.provider
LEFT JOIN sla_deadlines AS d ON d.mailbox_id = j.mailbox_id
WHERE j.status IN ('requested', 'planning', 'processing') AND j.paused_at IS NULL AND NOT l.paused
    AND l.not_before <= n.soon AND j.plan_available_at <= n.soon
