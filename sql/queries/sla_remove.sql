-- Take a promise back.
DELETE FROM tenant_slas
WHERE tenant_id IS NOT DISTINCT FROM (SELECT t.id FROM tenants AS t WHERE t.name = %(tenant)s)
    AND (%(tenant)s::text IS NULL OR tenant_id IS NOT NULL)
RETURNING true AS done
