-- What share of its provider's quotas a mailbox has used: quotas_used() with names.
DROP VIEW IF EXISTS quota_shares;
CREATE VIEW quota_shares WITH (security_invoker = true) AS
SELECT q.tenant_id, t.name AS tenant, q.mailbox_id, m.name AS mailbox, q.provider, q.unit, q.span, q.used, q.amount,
    round(q.used / q.amount, 4) AS share, q.note
FROM quotas_used() AS q
LEFT JOIN tenants AS t ON t.id = q.tenant_id
LEFT JOIN mailboxes AS m ON m.id = q.mailbox_id;
