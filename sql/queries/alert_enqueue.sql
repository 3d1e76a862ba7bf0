-- Decide on a message: it waits to be sent, or is held back with why.
INSERT INTO alert_deliveries (alert_id, tenant_id, route_id, route, kind, level, status, why, ended_at)
SELECT
    a.id,
    a.tenant_id,
    r.id,
    r.name,
    %(kind)s,
    %(level)s,
    CASE WHEN %(why)s::text IS NULL THEN 'waiting' ELSE 'suppressed' END,
    %(why)s,
    CASE WHEN %(why)s::text IS NOT NULL THEN clock() END
FROM alerts AS a CROSS JOIN alert_routes AS r
WHERE a.id = %(alert_id)s AND r.id = %(route_id)s
ON CONFLICT (alert_id, route_id) WHERE kind = 'resolved' DO NOTHING
