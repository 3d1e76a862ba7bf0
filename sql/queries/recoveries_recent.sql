-- The last attempts that ended with their worker: how long that had been silent, when somebody else began, and what
-- has become of the chunk (NULL: its job is gone).
SELECT h.created_at, (h.metadata ->> 'silent_ms')::double precision / 1000 AS silent_seconds,
    extract(EPOCH FROM n.created_at - h.created_at)::double precision - n.processing_time_ms / 1000.0 AS again_seconds,
    q.status::text AS chunk_status
FROM (
    SELECT * FROM chunked_sync_health_monitoring
    WHERE status <> 'success' AND status = 'recovery' AND created_at > (SELECT clock()) - %(hours)s * interval '1 hour'
    ORDER BY created_at DESC LIMIT %(limit)s
) AS h
LEFT JOIN LATERAL (
    SELECT x.created_at, x.processing_time_ms FROM chunked_sync_health_monitoring AS x
    WHERE x.sync_job_id = h.sync_job_id AND x.chunk_id = h.chunk_id AND x.lease_token > h.lease_token
    ORDER BY x.lease_token LIMIT 1
) AS n ON true
LEFT JOIN chunk_processing_queue AS q ON q.chunk_id = h.chunk_id
