-- Be silent about some alerts for a while.
INSERT INTO alert_silences (tenant_id, signal, subject, ends_at, created_by, reason)
VALUES (%(tenant_id)s, %(signal)s, %(subject)s, clock() + %(length)s::interval, %(actor)s, %(reason)s)
RETURNING id, ends_at
