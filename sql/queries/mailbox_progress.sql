-- A row per mailbox: its open sync job, else its last one. What is done of what, whether it moves, what failed of late
-- and why, and when it should end: the newest forecast with its range, or the mean rate while there is none.
SELECT t.name AS tenant, m.name AS mailbox, s.sync_job_id, s.sync_type::text AS sync_type,
    coalesce(s.overall_status, 'never synced') AS status,
    coalesce(s.emails_processed, 0)::bigint AS landed, coalesce(s.emails_estimated, 0)::bigint AS planned,
    coalesce(s.failed_chunks, 0) AS failed_chunks, s.emails_per_second::double precision AS emails_per_second,
    CASE
        WHEN l.paused OR s.paused_at IS NOT NULL THEN 'paused'
        WHEN s.status IN ('completed', 'failed', 'cancelled') OR s.status IS NULL THEN 'at rest'
        WHEN l.not_before > clock() THEN 'turned away'
        WHEN s.processing_chunks > 0 THEN 'moving'
        ELSE 'waiting'
    END AS state,
    CASE WHEN l.not_before > clock() THEN l.not_before END AS turned_away_until,
    e.failures, e.error_category, e.error_message,
    CASE WHEN coalesce(f.expected_at, s.eta) IS NOT NULL AND s.paused_at IS NULL AND NOT l.paused
        THEN greatest(coalesce(f.expected_at, s.eta), l.not_before, clock()) END AS ends_at,
    CASE WHEN f.low_at IS NOT NULL THEN greatest(f.low_at, l.not_before, clock()) END AS ends_from,
    CASE WHEN f.high_at IS NOT NULL THEN greatest(f.high_at, l.not_before, clock()) END AS ends_until
FROM mailboxes AS m
INNER JOIN tenants AS t ON t.id = m.tenant_id
INNER JOIN mailbox_lanes AS l ON l.mailbox_id = m.id
LEFT JOIN LATERAL (
    SELECT j.id FROM sync_jobs AS j WHERE j.mailbox_id = m.id
    ORDER BY j.status IN ('requested', 'planning', 'processing') DESC, j.id DESC LIMIT 1
) AS j ON true
LEFT JOIN chunk_processing_status AS s ON s.sync_job_id = j.id
LEFT JOIN LATERAL (
    SELECT x.low_at, x.expected_at, x.high_at FROM forecasts AS x
    WHERE x.sync_job_id = s.sync_job_id AND x.kind = 'job' AND x.scored_at IS NULL
        AND s.status = 'processing' AND s.paused_at IS NULL AND NOT l.paused
    ORDER BY x.id DESC LIMIT 1
) AS f ON true
LEFT JOIN LATERAL (
    SELECT count(*)::integer AS failures,
        (array_agg(h.error_category::text ORDER BY h.created_at DESC))[1] AS error_category,
        (array_agg(h.error_message ORDER BY h.created_at DESC))[1] AS error_message
    FROM chunked_sync_health_monitoring AS h
    WHERE h.tenant_id = m.tenant_id AND h.mailbox_id = m.id AND h.error_category IS NOT NULL
        AND h.status <> 'recovery' AND h.created_at > clock() - interval '1 hour'
) AS e ON true
ORDER BY t.name, m.name
