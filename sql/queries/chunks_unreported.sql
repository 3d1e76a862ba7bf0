-- Completed chunks that no living run is going to report: their worker was killed after the landing. Job by job, by an
-- index of what is not reported, up to the last chunk that was ever tried: neither what is over and told of is read nor
-- what has not begun, however much that is.
SELECT u.chunk_id, j.id AS sync_job_id, u.chunk_index, u.bytes_processed, u.attempts, u.emails
FROM (
    SELECT id, keys_registered_at, completed_chunks FROM sync_jobs
    WHERE status IN ('requested', 'planning', 'processing')
    UNION ALL
    SELECT id, keys_registered_at, completed_chunks FROM sync_jobs
    WHERE completed_at > (SELECT clock()) - interval '1 day' AND status IN ('completed', 'failed', 'cancelled')
) AS j
CROSS JOIN LATERAL (
    SELECT q.chunk_id, q.chunk_index, q.bytes_processed, q.attempts,
        q.emails_inserted + q.emails_unchanged + q.emails_absent + q.emails_quarantined AS emails
    FROM sync_chunks AS c
    INNER JOIN chunk_processing_queue AS q ON q.chunk_id = c.id
    WHERE c.sync_job_id = j.id AND c.reported_at IS NULL AND q.status = 'completed'
        AND c.id <= (SELECT max(a.chunk_id) FROM chunked_sync_health_monitoring AS a WHERE a.sync_job_id = j.id)
        AND q.completed_at BETWEEN (SELECT clock()) - interval '1 day' AND (SELECT clock()) - %(quiet)s::interval
        AND NOT EXISTS (
            SELECT FROM workers AS w
            WHERE w.id = q.worker_id AND w.ended_at IS NULL AND w.lease_until > (SELECT clock())
        )
    ORDER BY c.id LIMIT %(limit)s
) AS u
WHERE j.keys_registered_at IS NOT NULL AND j.completed_chunks > 0
FETCH FIRST (%(limit)s) ROWS ONLY
