-- What is not told to Dagster yet: runs at work, and chunks of the last hour that were not reported. Counted job by
-- job: else the planner reads the whole queue for it.
SELECT (SELECT count(*) FROM dispatches WHERE ended_at IS NULL) + (
    SELECT coalesce(sum(u.chunks), 0)::bigint
    FROM (
        SELECT id, completed_chunks FROM sync_jobs WHERE status IN ('requested', 'planning', 'processing')
        UNION ALL
        SELECT id, completed_chunks FROM sync_jobs
        WHERE completed_at > (SELECT clock()) - interval '1 hour' AND status IN ('completed', 'failed', 'cancelled')
    ) AS j
    CROSS JOIN LATERAL (
        SELECT count(*) AS chunks FROM sync_chunks AS c
        INNER JOIN chunk_processing_queue AS q ON q.chunk_id = c.id
        WHERE c.sync_job_id = j.id AND c.reported_at IS NULL AND q.status = 'completed'
            AND c.id <= (SELECT max(a.chunk_id) FROM chunked_sync_health_monitoring AS a WHERE a.sync_job_id = j.id)
            AND q.completed_at > (SELECT clock()) - interval '1 hour'
    ) AS u
    WHERE j.completed_chunks > 0
) AS count
