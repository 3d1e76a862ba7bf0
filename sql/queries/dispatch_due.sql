-- Due chunks that no live dispatch covers, a row per job, with what the dispatcher weighs. Looks at open lanes from
-- their low-water marks, so what has ended is not read.
SELECT j.id AS job_id, j.tenant_id, j.mailbox_id, m.name AS mailbox, t.name AS tenant, j.priority,
    l.connection_limit, d.chunk_indexes
FROM mailbox_lanes AS l
INNER JOIN sync_jobs AS j ON j.mailbox_id = l.mailbox_id AND j.paused_at IS NULL
    AND j.status IN ('requested', 'planning', 'processing') AND j.status = 'processing'  -- as its index says
INNER JOIN mailboxes AS m ON m.id = j.mailbox_id
INNER JOIN tenants AS t ON t.id = j.tenant_id
CROSS JOIN LATERAL (
    SELECT array_agg(x.chunk_index ORDER BY x.chunk_index) AS chunk_indexes
    FROM (
        (
            SELECT q.chunk_index FROM chunk_processing_queue AS q
            WHERE j.total_chunks <= %(chunks_per_job)s
                AND q.sync_job_id = j.id AND q.mailbox_id = l.mailbox_id AND q.status = 'pending'
                AND (q.turn_at, q.chunk_id) >= (l.low_turn_at, l.low_chunk_id) AND q.turn_at < 'infinity'
                AND NOT EXISTS (
                    SELECT FROM dispatches AS x
                    WHERE x.sync_job_id = j.id AND x.ended_at IS NULL
                        AND q.chunk_index BETWEEN x.first_index AND x.last_index
                )
        )
        UNION ALL
        (
            SELECT q.chunk_index FROM chunk_processing_queue AS q
            WHERE j.total_chunks > %(chunks_per_job)s
                -- No index finds a sum: a job that has more chunks than are asked for is walked by their turns.
                AND q.sync_job_id + 0 = j.id AND q.mailbox_id = l.mailbox_id AND q.status = 'pending'
                AND (q.turn_at, q.chunk_id) >= (l.low_turn_at, l.low_chunk_id) AND q.turn_at < 'infinity'
                AND NOT EXISTS (
                    SELECT FROM dispatches AS x
                    WHERE x.sync_job_id = j.id AND x.ended_at IS NULL
                        AND q.chunk_index BETWEEN x.first_index AND x.last_index
                )
            ORDER BY q.turn_at, q.chunk_id LIMIT %(chunks_per_job)s
        )
    ) AS x
) AS d
WHERE l.head_class IS NOT NULL AND l.not_before <= (SELECT clock()) AND d.chunk_indexes IS NOT NULL
ORDER BY l.head_class, l.vtime, j.priority DESC, j.id
LIMIT %(jobs)s
