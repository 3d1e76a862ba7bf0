-- What is alarming now, a row per signal that is above its threshold in health_thresholds, critical ones first. A chunk
-- of a paused mailbox or job is not due, however long it waits; one that is due later has waited less than no time.
-- Reads the chunks of open jobs once.
DROP VIEW IF EXISTS health_alerts;
CREATE VIEW health_alerts WITH (security_invoker = true) AS
WITH moment AS MATERIALIZED (SELECT clock() AS now),

lost_workers AS (
    SELECT coalesce(array_agg(w.id), '{}') AS ids
    FROM moment AS n INNER JOIN health_thresholds AS t ON t.signal = 'stuck_chunks'
    INNER JOIN workers AS w ON least(w.lease_until, w.ended_at) < n.now - t.span
),

chunks_of_jobs AS (
    SELECT
        q.sync_job_id,
        min(q.available_at) FILTER (WHERE q.status = 'pending') AS due_since,
        count(*) FILTER (
            WHERE q.status = 'processing' AND q.worker_id = ANY ((SELECT ids FROM lost_workers)::bigint[])
        ) AS stuck
    FROM chunk_processing_queue AS q
    WHERE q.sync_job_id IN (SELECT id FROM sync_jobs WHERE status = 'processing')
    GROUP BY q.sync_job_id
),

open_jobs AS (
    SELECT
        c.stuck,
        CASE WHEN c.due_since IS NOT NULL AND NOT l.paused AND j.paused_at IS NULL
            THEN greatest(c.due_since, l.not_before) END AS due_since
    FROM chunks_of_jobs AS c
    INNER JOIN sync_jobs AS j ON j.id = c.sync_job_id
    INNER JOIN mailbox_lanes AS l ON l.mailbox_id = j.mailbox_id
),

open_chunks AS (SELECT min(due_since) AS due_since, coalesce(sum(stuck), 0) AS stuck FROM open_jobs),

plans AS (
    SELECT min(j.plan_available_at) AS due_since
    FROM sync_jobs AS j INNER JOIN mailbox_lanes AS l ON l.mailbox_id = j.mailbox_id
    WHERE j.status = 'requested' AND j.paused_at IS NULL AND NOT l.paused AND plan_is_free(j.id)
),

dead_letters AS (
    SELECT count(*) AS chunks
    FROM moment AS n
    INNER JOIN health_thresholds AS t ON t.signal = 'dead_letters'
    CROSS JOIN sync_jobs AS j
    INNER JOIN chunk_processing_queue AS q ON q.sync_job_id = j.id
    WHERE j.failed_chunks > 0 AND (j.completed_at IS NULL OR j.completed_at > n.now - t.span)
        AND q.status = 'failed' AND q.completed_at > n.now - t.span
),

signals AS (
    SELECT 'stuck_chunks' AS signal, c.stuck::double precision AS value,
        'chunks whose worker gives no sign of life' AS meaning
    FROM open_chunks AS c
    UNION ALL
    SELECT 'oldest_due_seconds', extract(EPOCH FROM n.now - c.due_since)::double precision,
        'seconds since the oldest waiting chunk is due'
    FROM moment AS n CROSS JOIN open_chunks AS c
    UNION ALL
    SELECT 'dead_letters', d.chunks::double precision, 'chunks that failed for good lately'
    FROM dead_letters AS d
    UNION ALL
    SELECT 'no_worker_seconds', extract(EPOCH FROM n.now - least(c.due_since, p.due_since))::double precision,
        'seconds since work is due, and no worker is alive'
    FROM moment AS n CROSS JOIN open_chunks AS c CROSS JOIN plans AS p
    WHERE NOT EXISTS (SELECT FROM workers AS w WHERE w.ended_at IS NULL AND w.lease_until >= n.now)
)

SELECT
    s.signal,
    CASE WHEN s.value > t.critical_above THEN 'critical' ELSE 'warn' END AS level,
    s.value,
    CASE WHEN s.value > t.critical_above THEN t.critical_above ELSE t.warn_above END AS threshold,
    format('%s %s (more than %s)', round(s.value), s.meaning,
        CASE WHEN s.value > t.critical_above THEN t.critical_above ELSE t.warn_above END) AS message
FROM signals AS s
INNER JOIN health_thresholds AS t ON t.signal = s.signal
WHERE s.value > t.critical_above OR s.value > t.warn_above
ORDER BY level, s.signal;
