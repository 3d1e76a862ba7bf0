-- A queue row for every chunk of a job, due at once, in the same transaction that planned them.
INSERT INTO chunk_processing_queue (
    chunk_id, queue_id, tenant_id, mailbox_id, sync_job_id, chunk_index, priority, available_at, created_at, turn_at,
    estimated_emails
)
SELECT c.id, c.public_id, c.tenant_id, c.mailbox_id, c.sync_job_id, c.chunk_index, j.priority, n.at, n.at,
    turn_of(n.at, j.priority),
    c.estimated_emails
FROM sync_chunks AS c
INNER JOIN sync_jobs AS j ON j.id = c.sync_job_id
CROSS JOIN (SELECT clock() AS at) AS n
WHERE c.sync_job_id = %(job_id)s
ORDER BY c.chunk_index
