-- Remove a route; what waited for it is not sent. No row: there is none of this name.
WITH gone AS (SELECT r.id, r.tenant_id FROM alert_routes AS r WHERE r.name = %(name)s FOR UPDATE),

dropped AS (
    UPDATE alert_deliveries AS d
    SET status = 'suppressed', why = 'route_removed', ended_at = clock(), route_id = NULL
    FROM gone AS g WHERE d.route_id = g.id AND d.status = 'waiting'
    RETURNING d.id
)

SELECT g.id, g.tenant_id, (SELECT count(*) FROM dropped) AS dropped FROM gone AS g
