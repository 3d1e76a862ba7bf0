-- The queue now, a row per tenant, mailbox and status: for the health assets. What is over is counted by its jobs; of
-- chunks only those of open jobs are read.
WITH open_chunks AS (
    SELECT q.mailbox_id, count(*) FILTER (WHERE q.status = 'processing') AS processing,
        count(*) FILTER (WHERE q.status = 'pending' AND q.available_at <= (SELECT clock())) AS due,
        extract(EPOCH FROM (SELECT clock()) - min(q.available_at) FILTER (
            WHERE q.status = 'pending' AND q.available_at <= (SELECT clock())))::double precision AS oldest_due_seconds
    FROM chunk_processing_queue AS q
    WHERE q.sync_job_id IN (SELECT j.id FROM sync_jobs AS j WHERE j.status = 'processing')
    GROUP BY q.mailbox_id
),

counted AS (
    SELECT j.tenant_id, j.mailbox_id, sum(j.total_chunks) AS total, sum(j.completed_chunks) AS completed,
        sum(j.failed_chunks) AS failed, sum(j.cancelled_chunks) AS cancelled
    FROM sync_jobs AS j
    GROUP BY j.tenant_id, j.mailbox_id
)

SELECT t.name AS tenant, m.name AS mailbox, s.status, s.chunks::bigint AS chunks,
    CASE WHEN s.status = 'pending' THEN coalesce(o.due, 0) ELSE 0 END AS due,
    CASE WHEN s.status = 'pending' THEN o.oldest_due_seconds END AS oldest_due_seconds
FROM counted AS c
INNER JOIN mailboxes AS m ON m.id = c.mailbox_id
INNER JOIN tenants AS t ON t.id = c.tenant_id
LEFT JOIN open_chunks AS o ON o.mailbox_id = c.mailbox_id
CROSS JOIN LATERAL (VALUES
    ('pending', c.total - c.completed - c.failed - c.cancelled - coalesce(o.processing, 0)),
    ('processing', coalesce(o.processing, 0)), ('completed', c.completed), ('failed', c.failed),
    ('cancelled', c.cancelled)) AS s (status, chunks)
WHERE s.chunks > 0
