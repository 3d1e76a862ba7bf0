-- Silences that are not over.
SELECT s.id, t.name AS tenant, s.signal, s.subject, s.starts_at, s.ends_at, s.created_by, s.reason
FROM alert_silences AS s LEFT JOIN tenants AS t ON t.id = s.tenant_id
WHERE s.ends_at > clock()
ORDER BY s.ends_at
