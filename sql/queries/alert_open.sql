-- Open alerts, all or of one signal, locked so that nobody acknowledges one meanwhile.
SELECT
    a.id,
    a.signal,
    a.tenant_id,
    a.subject,
    a.level,
    a.last_seen_at,
    a.acknowledged_at IS NOT NULL AS acknowledged
FROM alerts AS a
WHERE a.resolved_at IS NULL AND (%(only)s::text IS NULL OR a.signal = %(only)s)
ORDER BY a.id
FOR UPDATE
