-- Due chunks that no live dispatch covers, a row per job, with what the dispatcher weighs.
SELECT j.id AS job_id, j.tenant_id, j.mailbox_id, m.name AS mailbox, t.name AS tenant, j.priority,
    l.connection_limit, d.chunk_indexes
FROM sync_jobs AS j
INNER JOIN mailbox_lanes AS l ON l.mailbox_id = j.mailbox_id
INNER JOIN mailboxes AS m ON m.id = j.mailbox_id
INNER JOIN tenants AS t ON t.id = j.tenant_id
CROSS JOIN LATERAL (
    SELECT array_agg(x.chunk_index ORDER BY x.chunk_index) AS chunk_indexes
    FROM (
        SELECT q.chunk_index FROM chunk_processing_queue AS q
        WHERE q.sync_job_id = j.id AND q.status = 'pending' AND q.available_at <= (SELECT clock())
            AND NOT EXISTS (
                SELECT FROM dispatches AS x
                WHERE x.sync_job_id = j.id AND x.ended_at IS NULL
                    AND q.chunk_index BETWEEN x.first_index AND x.last_index
            )
        ORDER BY q.chunk_index LIMIT %(chunks_per_job)s
    ) AS x
) AS d
WHERE j.status = 'processing' AND l.not_before <= (SELECT clock()) AND d.chunk_indexes IS NOT NULL
ORDER BY j.priority DESC, l.claimed_total, j.id
LIMIT %(jobs)s
