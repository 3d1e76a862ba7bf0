-- Somebody looks after an alert. No row: it is not there, or over.
UPDATE alerts AS a SET acknowledged_at = clock(), acknowledged_by = %(actor)s
WHERE a.id = %(alert_id)s AND a.resolved_at IS NULL
RETURNING a.tenant_id, a.signal
