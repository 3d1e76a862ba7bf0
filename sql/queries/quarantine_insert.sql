-- A message that is not stored, and why.
INSERT INTO quarantined_messages (folder_id, uidvalidity, uid, tenant_id, provider_id, size, reason)
VALUES (%(folder_id)s, %(uidvalidity)s, %(uid)s, %(tenant_id)s, %(provider_id)s, %(size)s, %(reason)s)
ON CONFLICT DO NOTHING
