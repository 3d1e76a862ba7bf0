-- What must not be, of the last hour and day: chunks that were completed twice with one lease, and completed jobs that
-- have more or less than was planned.
SELECT
    (
        SELECT count(*) FROM (
            SELECT 1 FROM chunked_sync_health_monitoring AS h
            WHERE h.status = 'success' AND h.chunk_id IS NOT NULL
                AND h.created_at > (SELECT clock()) - interval '1 hour'
            GROUP BY h.chunk_id, h.lease_token HAVING count(*) > 1
        ) AS d
    )::integer AS duplicate_landings,
    (
        SELECT count(*) FROM sync_jobs AS j
        WHERE j.completed_at > (SELECT clock()) - interval '1 day' AND j.status = 'completed'
            AND j.cancelled_chunks = 0 AND j.emails_processed <> j.emails_estimated
    )::integer AS uneven_jobs
