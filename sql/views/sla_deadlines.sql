-- Until when a mailbox to which something was promised has to be synced: whole for the first time, or again before what
-- has landed is too old. A tenant's own promise counts instead of everybody's.
DROP VIEW IF EXISTS sla_deadlines;
CREATE VIEW sla_deadlines WITH (security_invoker = true) AS
SELECT m.tenant_id, m.id AS mailbox_id,
    CASE WHEN c.fresh_as_of IS NULL THEN 'first_sync' ELSE 'freshness' END AS objective,
    CASE WHEN c.fresh_as_of IS NULL THEN c.requested_at + s.first_sync_within
        ELSE c.fresh_as_of + s.freshness_within END AS deadline_at
FROM mailboxes AS m
CROSS JOIN LATERAL (
    SELECT x.first_sync_within, x.freshness_within
    FROM tenant_slas AS x WHERE x.tenant_id = m.tenant_id OR x.tenant_id IS NULL
    ORDER BY x.tenant_id NULLS LAST LIMIT 1
) AS s
CROSS JOIN LATERAL (
    SELECT min(o.created_at) FILTER (WHERE o.status <> 'cancelled') AS requested_at,
        max(o.started_at) FILTER (WHERE o.status = 'completed') AS fresh_as_of
    FROM sync_jobs AS o WHERE o.mailbox_id = m.id
) AS c;
