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
            THEN nullif(greatest(c.due_since, l.not_before), 'infinity') END AS due_since
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
    SELECT j.tenant_id, count(*) AS chunks
    FROM moment AS n
    INNER JOIN health_thresholds AS t ON t.signal = 'dead_letters'
    CROSS JOIN sync_jobs AS j
    INNER JOIN chunk_processing_queue AS q ON q.sync_job_id = j.id
    WHERE j.failed_chunks > 0 AND (j.completed_at IS NULL OR j.completed_at > n.now - t.span)
        AND q.status = 'failed' AND q.completed_at > n.now - t.span
    GROUP BY j.tenant_id
),

-- Mailboxes whose last sync ended before its first chunk: the plan could not be made. Another that got further ends it.
failed_plans AS (
    SELECT j.tenant_id, count(*) AS syncs,
        (array_agg(format('%s (%s)', m.name, coalesce(j.error_category, 'unknown')) ORDER BY j.completed_at DESC))[1]
            AS last
    FROM sync_jobs AS j INNER JOIN mailboxes AS m ON m.id = j.mailbox_id
    WHERE j.completed_at > (
        SELECT n.now - t.span FROM moment AS n INNER JOIN health_thresholds AS t ON t.signal = 'failed_plans'
    ) AND j.status = 'failed' AND j.failed_chunks = 0
        AND NOT EXISTS (
            SELECT FROM sync_jobs AS x WHERE x.mailbox_id = j.mailbox_id AND x.id > j.id
                AND x.status IN ('processing', 'completed', 'failed')
        )
    GROUP BY j.tenant_id
),

attempts AS (
    SELECT count(*) AS ended, count(*) FILTER (WHERE h.status <> 'success') AS failed
    FROM chunked_sync_health_monitoring AS h
    -- A value and no join: then the index on the time is used.
    WHERE h.created_at > (
        SELECT n.now - t.span FROM moment AS n INNER JOIN health_thresholds AS t ON t.signal = 'failure_share'
    )
),

-- Since the last attempt ended, or work fell due after that; attempts of long ago are not read.
standstill AS (
    SELECT n.now - greatest(c.due_since, (
        SELECT max(h.created_at) FROM chunked_sync_health_monitoring AS h
        WHERE h.created_at > (
            SELECT m.now - 2 * greatest(t.warn_above, t.critical_above) * interval '1 second'
            FROM moment AS m INNER JOIN health_thresholds AS t ON t.signal = 'standstill_seconds'
        )
    )) AS span
    FROM moment AS n CROSS JOIN open_chunks AS c
),

forecasting AS (
    SELECT percentile_cont(0.5) WITHIN GROUP (ORDER BY abs(f.error)) AS error
    FROM moment AS n
    INNER JOIN health_thresholds AS t ON t.signal = 'forecast_drift'
    INNER JOIN forecasts AS f ON f.scored_at > n.now - t.span AND f.kind = 'job' AND f.error IS NOT NULL
    HAVING count(*) >= 50
),

promises AS (
    SELECT s.tenant_id, CASE s.state WHEN 'broken' THEN 'sla_broken' ELSE 'sla_at_risk' END AS signal,
        count(*) AS promises, (array_agg(s.message ORDER BY s.deadline_at, s.mailbox_id))[1] AS message
    FROM sla_states AS s WHERE s.state <> 'kept'
    GROUP BY s.tenant_id, s.state
),

undelivered AS (
    SELECT count(*) AS messages
    FROM moment AS n
    INNER JOIN health_thresholds AS t ON t.signal = 'deliveries_failed'
    INNER JOIN alert_deliveries AS d ON d.status = 'failed' AND d.ended_at > n.now - t.span
    -- What says that messages fail may fail itself: else it would never end.
    INNER JOIN alerts AS a ON a.id = d.alert_id AND a.signal <> 'deliveries_failed'
),

signals AS (
    SELECT 'stuck_chunks' AS signal, c.stuck::double precision AS value,
        'chunks whose worker gives no sign of life' AS meaning, NULL::bigint AS tenant_id
    FROM open_chunks AS c
    UNION ALL
    SELECT 'oldest_due_seconds', extract(EPOCH FROM n.now - c.due_since)::double precision,
        'seconds since the oldest waiting chunk is due', NULL
    FROM moment AS n CROSS JOIN open_chunks AS c
    UNION ALL
    SELECT 'dead_letters', d.chunks::double precision, 'chunks that failed for good lately', d.tenant_id
    FROM dead_letters AS d
    UNION ALL
    SELECT 'failed_plans', f.syncs::double precision,
        'mailboxes whose sync failed before its first chunk, the last: ' || f.last, f.tenant_id
    FROM failed_plans AS f
    UNION ALL
    SELECT 'no_worker_seconds', extract(EPOCH FROM n.now - least(c.due_since, p.due_since))::double precision,
        'seconds since work is due, and no worker is alive', NULL
    FROM moment AS n CROSS JOIN open_chunks AS c CROSS JOIN plans AS p
    WHERE NOT EXISTS (SELECT FROM workers AS w WHERE w.ended_at IS NULL AND w.lease_until >= n.now)
    UNION ALL
    SELECT 'failure_share', a.failed::double precision / a.ended, 'of the attempts failed lately', NULL
    FROM attempts AS a WHERE a.ended >= 20
    UNION ALL
    SELECT 'standstill_seconds', extract(EPOCH FROM s.span)::double precision,
        'seconds since any attempt ended, although work is due', NULL
    FROM standstill AS s
    UNION ALL
    SELECT 'deliveries_failed', u.messages::double precision, 'messages about alerts did not arrive lately', NULL
    FROM undelivered AS u
    UNION ALL
    SELECT 'forecast_drift', f.error, 'of the remaining time is what half of the forecasts were off by', NULL
    FROM forecasting AS f
    UNION ALL
    SELECT p.signal, p.promises::double precision, 'promises, the first: ' || p.message, p.tenant_id
    FROM promises AS p
)

SELECT
    s.signal,
    CASE WHEN s.value > t.critical_above THEN 'critical' ELSE 'warn' END AS level,
    s.value,
    CASE WHEN s.value > t.critical_above THEN t.critical_above ELSE t.warn_above END AS threshold,
    format('%s %s (more than %s)',
        CASE WHEN s.signal IN ('failure_share', 'forecast_drift') THEN round(s.value * 100) || ' %'
            ELSE round(s.value)::text END, s.meaning,
        CASE WHEN s.value > t.critical_above THEN t.critical_above ELSE t.warn_above END) AS message,
    s.tenant_id,                                 -- NULL: the whole system
    ''::text AS subject                          -- what of the tenant it is about; '': all of it
FROM signals AS s
INNER JOIN health_thresholds AS t ON t.signal = s.signal
WHERE s.value > t.critical_above OR s.value > t.warn_above
ORDER BY level, s.signal, s.tenant_id;
