-- End a silence now. No row: it is not there, or over.
UPDATE alert_silences AS s SET ends_at = greatest(s.starts_at, clock())
WHERE s.id = %(silence_id)s AND s.ends_at > clock()
RETURNING s.tenant_id
