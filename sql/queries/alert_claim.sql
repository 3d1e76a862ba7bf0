-- Take the next message that is due, fresh ones first, and nobody else will for the length of the lease: who takes it
-- and dies has used an attempt. A message waits for earlier ones of its alert to the same route.
WITH next AS (
    SELECT d.id FROM alert_deliveries AS d
    WHERE d.status = 'waiting' AND d.next_at <= clock() AND d.attempts < %(max_attempts)s
        AND d.route_id <> ALL (%(skipped)s::bigint[])
        AND (%(only)s::text IS NULL OR EXISTS (
            SELECT FROM alerts AS a WHERE a.id = d.alert_id AND a.signal = %(only)s
        ))
        AND NOT EXISTS (
            SELECT FROM alert_deliveries AS b
            WHERE b.alert_id = d.alert_id AND b.route_id = d.route_id AND b.id < d.id AND b.status = 'waiting'
        )
    ORDER BY d.attempts, d.next_at, d.id
    LIMIT 1
    FOR UPDATE OF d SKIP LOCKED
)

UPDATE alert_deliveries AS d
SET attempts = d.attempts + 1, next_at = clock() + %(lease)s::interval
FROM next AS n, alerts AS a, alert_routes AS r
WHERE d.id = n.id AND a.id = d.alert_id AND r.id = d.route_id
RETURNING
    d.id,
    d.attempts,
    d.kind,
    d.level,
    d.route_id,
    r.name AS route,
    r.target,
    a.id AS alert_id,
    a.signal,
    a.subject,
    a.message,
    a.opened_at,
    a.resolved_at,
    clock() AS claimed_at,
    (SELECT t.name FROM tenants AS t WHERE t.id = a.tenant_id) AS tenant
