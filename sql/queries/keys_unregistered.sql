-- Planned jobs whose partition keys Dagster has not been given yet.
SELECT id, total_chunks FROM sync_jobs
WHERE keys_registered_at IS NULL AND total_chunks > 0 AND (%(job_id)s::bigint IS NULL OR id = %(job_id)s)
    AND (status = 'processing' OR completed_at > clock() - interval '1 day')
ORDER BY id LIMIT 20
