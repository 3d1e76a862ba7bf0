-- Look at the open jobs: count what pauses began since the last look, and keep a sample of each that is due for one.
-- Only open jobs are read. Returns those that were sampled.
WITH seen AS MATERIALIZED (
    SELECT j.id, j.tenant_id, n.at, j.emails_processed AS landed, j.bytes_processed AS landed_bytes,
        j.completed_chunks + j.failed_chunks + j.cancelled_chunks AS ended_chunks, j.total_chunks AS chunks,
        j.emails_estimated - j.emails_estimated * x.lost / x.chunks AS planned,
        j.bytes_estimated - j.bytes_estimated * x.lost / x.chunks AS planned_bytes,
        least(cardinality(l.held), x.chunks) AS running, l.not_before,
        l.paused OR j.paused_at IS NOT NULL AS paused,
        coalesce(m.begun_at, n.at) AS begun_at, coalesce(m.pauses, 0) + p.again::integer AS pauses,
        coalesce(m.pause_seconds, 0) + CASE WHEN p.again
            THEN greatest(extract(EPOCH FROM l.not_before - p.since), 0) ELSE 0 END AS pause_seconds,
        p.again AND m.sync_job_id IS NOT NULL AS again, m.sampled_at,
        m.sampled_at IS NULL OR n.at - m.sampled_at >= greatest(interval '15 s', (n.at - m.begun_at) / 100) AS due
    FROM (SELECT clock() AS at) AS n
    CROSS JOIN sync_jobs AS j
    INNER JOIN mailbox_lanes AS l ON l.mailbox_id = j.mailbox_id
    LEFT JOIN progress_marks AS m ON m.sync_job_id = j.id
    CROSS JOIN LATERAL (
        SELECT j.failed_chunks + j.cancelled_chunks AS lost, greatest(j.total_chunks, 1) AS chunks,
            coalesce(m.turned_away_until, 'epoch') AS counted
    ) AS x
    CROSS JOIN LATERAL (
        SELECT l.not_before > x.counted AND (l.not_before > n.at OR l.allowed_at > x.counted AND m.sync_job_id > 0)
            AS again,
            -- A throttled mailbox knows since when; otherwise it has just begun, as far as anybody can see.
            greatest(x.counted, CASE WHEN l.allowed_at > x.counted AND m.sync_job_id > 0
                THEN l.allowed_at ELSE n.at END) AS since
    ) AS p
    WHERE j.status IN ('requested', 'planning', 'processing') AND j.status = 'processing'
),

noted AS (
    INSERT INTO progress_marks AS m (
        sync_job_id, tenant_id, begun_at, sampled_at, turned_away_until, pauses, pause_seconds
    )
    SELECT s.id, s.tenant_id, s.begun_at, CASE WHEN s.due THEN s.at ELSE s.sampled_at END, s.not_before, s.pauses,
        s.pause_seconds
    FROM seen AS s WHERE s.due OR s.again
    ORDER BY s.id
    ON CONFLICT (sync_job_id) DO UPDATE SET sampled_at = EXCLUDED.sampled_at, pauses = EXCLUDED.pauses,
        pause_seconds = EXCLUDED.pause_seconds,
        turned_away_until = greatest(m.turned_away_until, EXCLUDED.turned_away_until)
)

INSERT INTO progress_samples (
    sync_job_id, tenant_id, at, landed, planned, landed_bytes, planned_bytes, ended_chunks, chunks, running, not_before,
    pauses, pause_seconds, paused
)
SELECT s.id, s.tenant_id, s.at, s.landed, s.planned, s.landed_bytes, s.planned_bytes, s.ended_chunks, s.chunks,
    s.running, s.not_before, s.pauses, s.pause_seconds, s.paused
FROM seen AS s WHERE s.due
ON CONFLICT (sync_job_id, at) DO NOTHING
RETURNING sync_job_id
