-- What becomes of chunks whose keys Dagster has, by their place in the list; without those that are no chunks.
-- Landed: it is over, and Dagster was told. Expired: the retention of its job's keys is over. A chunk that a run was
-- asked for is neither.
SELECT k.place::integer - 1 AS place,
    q.status IN ('completed', 'cancelled') AND (c.reported_at IS NOT NULL OR q.status = 'cancelled')
    AND NOT d.busy AS is_landed,
    j.status IN ('completed', 'failed', 'cancelled')
    AND coalesce(j.completed_at < (SELECT expired_before('partition_keys')), false)
    AND NOT d.busy AS is_expired
FROM unnest(%(job_ids)s::bigint[], %(indexes)s::integer[]) WITH ORDINALITY AS k (job_id, chunk_index, place)
INNER JOIN chunk_processing_queue AS q ON q.sync_job_id = k.job_id AND q.chunk_index = k.chunk_index
INNER JOIN sync_chunks AS c ON c.id = q.chunk_id
INNER JOIN sync_jobs AS j ON j.id = k.job_id
CROSS JOIN LATERAL (
    SELECT count(*) > 0 AS busy FROM dispatches AS x
    WHERE x.sync_job_id = k.job_id AND x.ended_at IS NULL AND k.chunk_index BETWEEN x.first_index AND x.last_index
) AS d
