-- Routes, with what became of their messages of the last day.
SELECT
    r.id,
    r.name,
    t.name AS tenant,
    r.min_level,
    r.target,
    r.max_per_hour,
    r.repeat_every,
    r.enabled,
    d.sent,
    d.waiting,
    d.failed,
    d.suppressed
FROM alert_routes AS r
LEFT JOIN tenants AS t ON t.id = r.tenant_id
CROSS JOIN LATERAL (
    SELECT
        count(*) FILTER (WHERE x.status = 'sent') AS sent,
        count(*) FILTER (WHERE x.status = 'waiting') AS waiting,
        count(*) FILTER (WHERE x.status = 'failed') AS failed,
        count(*) FILTER (WHERE x.status = 'suppressed') AS suppressed
    FROM alert_deliveries AS x
    WHERE x.route_id = r.id AND x.created_at > clock() - interval '1 day'
) AS d
ORDER BY r.name
