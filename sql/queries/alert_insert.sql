-- Open an alert. No row: it is open already.
INSERT INTO alerts (signal, tenant_id, subject, level, value, threshold, message)
VALUES (%(signal)s, %(tenant_id)s, %(subject)s, %(level)s, %(value)s, %(threshold)s, %(message)s)
ON CONFLICT (signal, tenant_id, subject) WHERE resolved_at IS NULL DO NOTHING
RETURNING id
