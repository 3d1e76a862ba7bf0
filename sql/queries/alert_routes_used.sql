-- Routes that are on, with how many messages they had within the last hour; recoveries do not count.
SELECT
    r.id,
    r.tenant_id,
    r.name,
    r.min_level,
    r.max_per_hour,
    r.repeat_every,
    (
        SELECT count(*) FROM alert_deliveries AS d
        WHERE d.route_id = r.id AND d.created_at > clock() - interval '1 hour' AND d.status <> 'suppressed'
            AND d.kind <> 'resolved'
    ) AS used
FROM alert_routes AS r
WHERE r.enabled
ORDER BY r.id
