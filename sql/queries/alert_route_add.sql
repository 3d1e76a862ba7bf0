-- Add a route. No row: its name is taken.
INSERT INTO alert_routes (tenant_id, name, min_level, target, max_per_hour, repeat_every)
VALUES (%(tenant_id)s, %(name)s, %(min_level)s, %(target)s, %(max_per_hour)s, %(repeat_every)s)
ON CONFLICT (name) DO NOTHING
RETURNING id
