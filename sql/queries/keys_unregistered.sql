-- Planned jobs whose partition keys Dagster has not been given yet. Two questions, each with its index: what is over
-- for more than a day is not read.
SELECT u.id, u.total_chunks
FROM (
    SELECT j.id, j.total_chunks, j.keys_registered_at FROM sync_jobs AS j
    WHERE j.status IN ('requested', 'planning', 'processing') AND j.status = 'processing'
    UNION ALL
    SELECT j.id, j.total_chunks, j.keys_registered_at FROM sync_jobs AS j
    WHERE j.status IN ('completed', 'failed', 'cancelled')
        AND j.completed_at > (SELECT clock()) - interval '1 day'
) AS u
WHERE u.keys_registered_at IS NULL AND u.total_chunks > 0
ORDER BY u.id LIMIT 20
