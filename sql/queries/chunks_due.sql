-- Due chunks wherever they are, the most urgent first: for a run that pulls.
SELECT q.chunk_id, q.sync_job_id, q.chunk_index, q.status::text, q.mailbox_id
FROM chunk_processing_queue AS q
INNER JOIN mailbox_lanes AS l ON l.mailbox_id = q.mailbox_id
WHERE q.status = 'pending' AND q.available_at <= clock() AND q.turn_at IS DISTINCT FROM 'infinity'
    AND l.not_before <= clock() AND NOT l.paused
    AND (%(job_id)s::bigint IS NULL OR q.sync_job_id = %(job_id)s)
    AND q.chunk_index BETWEEN %(first_index)s AND %(last_index)s
ORDER BY q.priority DESC, q.available_at, q.sync_job_id, q.chunk_index
LIMIT %(limit)s
