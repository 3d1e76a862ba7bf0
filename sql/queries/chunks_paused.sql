-- What is paused of these chunks: their mailbox (or its tenant), or their job.
SELECT DISTINCT m.name AS mailbox, j.id AS job_id
FROM chunk_processing_queue AS q
INNER JOIN sync_jobs AS j ON j.id = q.sync_job_id
INNER JOIN mailboxes AS m ON m.id = q.mailbox_id
INNER JOIN mailbox_lanes AS l ON l.mailbox_id = q.mailbox_id
WHERE q.chunk_id = ANY (%(chunk_ids)s) AND (l.paused OR j.paused_at IS NOT NULL)
ORDER BY j.id
