-- What somebody did about alerts: who, and why.
INSERT INTO audit_log (actor, action, tenant_id, reason, details)
VALUES (%(actor)s, %(action)s, %(tenant_id)s, %(reason)s, %(details)s)
