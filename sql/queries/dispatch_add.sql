-- Note that a run is asked for over a range of a job's chunks, and say which attempts at them it will make.
WITH asked AS (
    INSERT INTO dispatches (tenant_id, mailbox_id, sync_job_id, first_index, last_index, expires_at)
    VALUES (%(tenant_id)s, %(mailbox_id)s, %(job_id)s, %(first_index)s, %(last_index)s, clock() + %(mark)s::interval)
    RETURNING id
)

SELECT
    a.id,
    coalesce(min(q.attempts), 0) + 1 AS first_attempt,
    coalesce(max(q.attempts), 0) + 1 AS last_attempt
FROM asked AS a
LEFT JOIN chunk_processing_queue AS q ON q.sync_job_id = %(job_id)s AND q.status = 'pending'
    AND q.chunk_index BETWEEN %(first_index)s AND %(last_index)s
GROUP BY a.id
