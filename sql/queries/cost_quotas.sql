-- The mailboxes that have used most of what their provider allows.
SELECT coalesce(q.tenant, q.tenant_id::text) AS tenant, coalesce(q.mailbox, q.mailbox_id::text) AS mailbox, q.provider,
    q.note AS quota, q.unit, q.used::double precision AS used, q.share::double precision AS share
FROM quota_shares AS q
ORDER BY q.share DESC, q.mailbox_id, q.unit, q.span LIMIT %(limit)s
