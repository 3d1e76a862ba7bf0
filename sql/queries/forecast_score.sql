-- Hold the forecasts of jobs that have ended against their end: once, for the job's mark goes with it. A job that was
-- cancelled, or paused in the meantime, says nothing about its forecasts. Returns the forecasts that were scored.
WITH ended AS MATERIALIZED (
    SELECT m.sync_job_id, j.status, j.completed_at
    FROM progress_marks AS m INNER JOIN sync_jobs AS j ON j.id = m.sync_job_id
    WHERE j.completed_at IS NOT NULL
    ORDER BY m.sync_job_id LIMIT %(limit)s FOR UPDATE OF m SKIP LOCKED
),

scored AS (
    UPDATE forecasts AS f SET ended_at = e.completed_at, scored_at = clock(), error = x.error,
        inside = CASE WHEN x.error IS NOT NULL THEN e.completed_at BETWEEN f.low_at AND f.high_at END
    FROM ended AS e
    CROSS JOIN LATERAL (
        SELECT coalesce(max(p.at) FILTER (WHERE p.paused), '-infinity') AS paused_at
        FROM progress_samples AS p WHERE p.sync_job_id = e.sync_job_id
    ) AS s
    CROSS JOIN LATERAL (
        SELECT f2.id, CASE WHEN e.status <> 'cancelled' AND f2.made_at > s.paused_at
            THEN extract(EPOCH FROM f2.expected_at - e.completed_at)
                / greatest(extract(EPOCH FROM e.completed_at - f2.made_at), 1) END AS error
        FROM forecasts AS f2
        WHERE f2.sync_job_id = e.sync_job_id AND f2.kind = 'job' AND f2.scored_at IS NULL
    ) AS x
    WHERE f.id = x.id
    RETURNING f.id
),

forgotten AS (DELETE FROM progress_samples AS p USING ended AS e WHERE p.sync_job_id = e.sync_job_id),

gone AS (DELETE FROM progress_marks AS m USING ended AS e WHERE m.sync_job_id = e.sync_job_id)

SELECT id FROM scored
