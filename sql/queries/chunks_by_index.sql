-- Chunks of one job by their indexes.
SELECT q.chunk_id, q.sync_job_id, q.chunk_index, q.status::text, q.mailbox_id
FROM chunk_processing_queue AS q
WHERE q.sync_job_id = %(job_id)s AND q.chunk_index = ANY (%(indexes)s)
ORDER BY q.chunk_index
