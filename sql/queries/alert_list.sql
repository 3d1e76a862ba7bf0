-- Alerts with what became of their messages, the open ones or all, the newest first.
SELECT
    a.id,
    a.signal,
    a.subject,
    a.level,
    a.message,
    a.opened_at,
    a.last_seen_at,
    a.times_seen,
    a.resolved_at,
    a.acknowledged_at,
    a.acknowledged_by,
    (SELECT t.name FROM tenants AS t WHERE t.id = a.tenant_id) AS tenant,
    coalesce(d.sent, 0) AS sent,
    coalesce(d.waiting, 0) AS waiting,
    coalesce(d.failed, 0) AS failed,
    coalesce(d.suppressed, 0) AS suppressed,
    d.last_error
FROM alerts AS a
LEFT JOIN LATERAL (
    SELECT
        count(*) FILTER (WHERE x.status = 'sent') AS sent,
        count(*) FILTER (WHERE x.status = 'waiting') AS waiting,
        count(*) FILTER (WHERE x.status = 'failed') AS failed,
        count(*) FILTER (WHERE x.status = 'suppressed') AS suppressed,
        (array_agg(x.route || ': ' || x.last_error ORDER BY x.id DESC) FILTER (WHERE x.last_error IS NOT NULL))[1]
            AS last_error
    FROM alert_deliveries AS x
    WHERE x.alert_id = a.id
) AS d ON true
WHERE %(all)s::boolean OR a.resolved_at IS NULL
ORDER BY a.id DESC
LIMIT %(limit)s
