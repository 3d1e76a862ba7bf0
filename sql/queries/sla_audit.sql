-- Somebody changed what a tenant, or everybody, is promised.
INSERT INTO audit_log (actor, action, tenant_id, details)
VALUES (%(actor)s, %(action)s, (SELECT t.id FROM tenants AS t WHERE t.name = %(tenant)s), %(details)s)
