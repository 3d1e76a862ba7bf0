-- Add a mailbox to a tenant, which is made when it is new. No row: the name is taken.
WITH new_tenant AS (
    INSERT INTO tenants (name) VALUES (%(tenant)s) ON CONFLICT (name) DO NOTHING RETURNING id
)
INSERT INTO mailboxes (tenant_id, name, address, provider, credential, folders, sync_every)
SELECT t.id, %(name)s, %(address)s, %(provider)s, %(credential)s, %(folders)s::text[], %(sync_every)s::interval
FROM (SELECT id FROM new_tenant UNION ALL SELECT id FROM tenants WHERE name = %(tenant)s LIMIT 1) AS t
ON CONFLICT (tenant_id, name) DO NOTHING
RETURNING id
