-- Completed chunks that no living run is going to report: their worker was killed after the landing.
SELECT c.id AS chunk_id, c.sync_job_id, c.chunk_index, q.bytes_processed, q.attempts,
    q.emails_inserted + q.emails_unchanged + q.emails_absent + q.emails_quarantined AS emails
FROM sync_chunks AS c
INNER JOIN chunk_processing_queue AS q ON q.chunk_id = c.id
INNER JOIN sync_jobs AS j ON j.id = c.sync_job_id AND j.keys_registered_at IS NOT NULL
WHERE c.reported_at IS NULL AND q.status = 'completed'
    AND q.completed_at BETWEEN clock() - interval '1 day' AND clock() - %(quiet)s::interval
    AND NOT EXISTS (SELECT FROM workers AS w WHERE w.id = q.worker_id AND w.ended_at IS NULL
        AND w.lease_until > clock())
ORDER BY c.id LIMIT %(limit)s
