-- A row per sync job: how much of how much, and when it will end. Reads the job's own counters: O(1) a job.
DROP VIEW IF EXISTS chunk_processing_status;
CREATE VIEW chunk_processing_status WITH (security_invoker = true) AS
SELECT
    j.public_id AS parent_sync_job_id,
    j.tenant_id,
    j.mailbox_id,
    j.total_chunks - j.completed_chunks - j.failed_chunks - j.cancelled_chunks - coalesce(r.processing,
        0) AS pending_chunks,
    coalesce(r.processing, 0) AS processing_chunks,
    j.completed_chunks,
    j.failed_chunks,
    j.cancelled_chunks,
    j.total_chunks,
    j.started_at,
    j.last_completed_at,
    CASE
        WHEN j.status IN ('requested', 'planning') THEN 'pending'
        WHEN j.status = 'cancelled' THEN 'cancelled'
        WHEN j.status = 'completed' THEN 'completed'
        WHEN r.processing > 0 THEN 'processing'
        WHEN j.status = 'failed' AND j.total_chunks = 0 THEN 'failed'
        WHEN j.failed_chunks > 0 THEN 'partial_failure'
        ELSE 'pending'
    END AS overall_status,
    CASE
        WHEN j.total_chunks > 0 THEN round(100.0 * j.completed_chunks / j.total_chunks, 2)
        WHEN j.status = 'completed' THEN 100.00
        ELSE 0.00
    END AS progress_percentage,
    j.emails_processed,
    j.emails_estimated,
    round((j.emails_processed / p.seconds)::numeric, 2) AS emails_per_second,
    CASE
        WHEN j.status = 'processing' AND j.emails_processed > 0
            THEN clock() + make_interval(
                secs => p.seconds * (j.emails_estimated - j.emails_processed) / j.emails_processed
            )
    END AS eta,
    j.id AS sync_job_id,
    j.status,
    j.sync_type,
    j.priority,
    j.error_category,
    j.error_message,
    j.bytes_processed,
    j.bytes_estimated,
    j.created_at,
    j.completed_at,
    j.paused_at
FROM sync_jobs AS j
LEFT JOIN (
    SELECT q.sync_job_id, count(*)::integer AS processing FROM mailbox_lanes AS l
    CROSS JOIN LATERAL unnest(l.held) AS h (chunk_id)
    INNER JOIN chunk_processing_queue AS q ON q.chunk_id = h.chunk_id AND q.status = 'processing'
    WHERE l.held <> '{}'
    GROUP BY q.sync_job_id
) AS r ON r.sync_job_id = j.id
CROSS JOIN LATERAL (
    SELECT greatest(extract(EPOCH FROM coalesce(j.completed_at, clock()) - j.started_at),
        0.001)::double precision AS seconds
) AS p;
