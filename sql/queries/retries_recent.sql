-- The last failed attempts, and what the next attempt at the same chunk came to (NULL: there was none so far).
SELECT h.error_category::text AS error_category, h.attempt_number, h.suggested_retry_delay_ms IS NULL AS dead,
    h.suggested_retry_delay_ms AS delay_ms, n.status::text AS next_status,
    extract(EPOCH FROM n.created_at - h.created_at)::double precision - n.processing_time_ms / 1000.0 AS waited_seconds
FROM (
    SELECT * FROM chunked_sync_health_monitoring
    WHERE status <> 'success' AND status <> 'recovery' AND created_at > (SELECT clock()) - %(hours)s * interval '1 hour'
    ORDER BY created_at DESC LIMIT %(limit)s
) AS h
LEFT JOIN LATERAL (
    SELECT x.status, x.created_at, x.processing_time_ms FROM chunked_sync_health_monitoring AS x
    WHERE x.sync_job_id = h.sync_job_id AND x.chunk_id = h.chunk_id AND x.lease_token > h.lease_token
    ORDER BY x.lease_token LIMIT 1
) AS n ON true
