-- Open jobs whose newest forecast is old, by a part of their age or by what has landed since: those that waited longest
-- first. With what the mailbox has done in the last week, else its provider in the last hours, as messages a second of
-- one connection.
WITH due AS MATERIALIZED (
    SELECT m.sync_job_id, j.tenant_id, j.mailbox_id, j.emails_processed AS landed, j.emails_estimated AS planned,
        l.provider, greatest(cardinality(l.held), 1) AS connections
    FROM (SELECT clock() AS at) AS n
    CROSS JOIN progress_marks AS m
    INNER JOIN sync_jobs AS j ON j.id = m.sync_job_id AND j.completed_at IS NULL
    INNER JOIN mailbox_lanes AS l ON l.mailbox_id = j.mailbox_id
    WHERE NOT l.paused AND j.paused_at IS NULL AND (
        m.forecast_at IS NULL OR n.at - m.forecast_at >= greatest(interval '5 min', (n.at - m.begun_at) / 50)
        OR (j.emails_processed - m.forecast_landed) * 20 >= greatest(j.emails_estimated, 1)
    )
    ORDER BY m.forecast_at NULLS FIRST, m.sync_job_id LIMIT %(limit)s
),

own AS MATERIALIZED (
    SELECT d.sync_job_id, sum(a.emails) / nullif(sum(a.ms_sum) / 1000.0, 0) AS rate
    FROM due AS d
    INNER JOIN attempt_hours AS a ON a.tenant_id = d.tenant_id AND a.mailbox_id = d.mailbox_id
        AND a.hour > (SELECT clock()) - interval '7 days' AND a.status = 'success'
    GROUP BY d.sync_job_id
),

providers AS MATERIALIZED (
    SELECT a.provider, sum(a.emails) / nullif(sum(a.ms_sum) / 1000.0, 0) AS rate
    FROM attempt_hours AS a
    WHERE a.hour > (SELECT clock()) - interval '3 hours' AND a.status = 'success'
        AND EXISTS (SELECT FROM due AS d WHERE d.provider = a.provider
            AND d.sync_job_id NOT IN (SELECT o.sync_job_id FROM own AS o))
    GROUP BY a.provider
)

SELECT d.sync_job_id, d.tenant_id, d.mailbox_id, d.landed, d.planned,
    (d.connections * coalesce(o.rate, p.rate))::double precision AS prior_rate
FROM due AS d
LEFT JOIN own AS o ON o.sync_job_id = d.sync_job_id
LEFT JOIN providers AS p ON p.provider = d.provider
ORDER BY d.sync_job_id
