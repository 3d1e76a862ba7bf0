-- A queue row for every chunk of a job, in the same transaction that planned them.
INSERT INTO chunk_processing_queue (chunk_id, queue_id, tenant_id, mailbox_id, sync_job_id, chunk_index, priority)
SELECT c.id, c.public_id, c.tenant_id, c.mailbox_id, c.sync_job_id, c.chunk_index, j.priority
FROM sync_chunks AS c INNER JOIN sync_jobs AS j ON j.id = c.sync_job_id
WHERE c.sync_job_id = %(job_id)s
ORDER BY c.chunk_index
