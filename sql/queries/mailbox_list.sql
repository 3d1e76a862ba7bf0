-- Mailboxes, of one tenant, by name, or all.
SELECT m.id, m.public_id, m.tenant_id, t.name AS tenant, m.name, m.address, m.provider, m.credential, m.folders,
    l.connection_limit, m.sync_every
FROM mailboxes AS m
INNER JOIN tenants AS t ON t.id = m.tenant_id
INNER JOIN mailbox_lanes AS l ON l.mailbox_id = m.id
WHERE (%(tenant)s::text IS NULL OR t.name = %(tenant)s) AND (%(name)s::text IS NULL OR m.name = %(name)s)
    AND (%(id)s::bigint IS NULL OR m.id = %(id)s)
ORDER BY t.name, m.name
