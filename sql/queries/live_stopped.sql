-- Mailboxes that nothing is fetched from at the moment although somebody may want it: paused, throttled, or stopped by
-- their breaker, and until when.
SELECT t.name AS tenant, m.name AS mailbox,
    CASE WHEN l.paused THEN 'paused' WHEN l.breaker <> 'closed' THEN 'breaker_open' ELSE 'throttled' END AS state,
    CASE WHEN NOT l.paused AND l.not_before > clock() THEN l.not_before END AS until
FROM mailbox_lanes AS l
INNER JOIN mailboxes AS m ON m.id = l.mailbox_id
INNER JOIN tenants AS t ON t.id = l.tenant_id
WHERE (l.paused OR l.breaker <> 'closed' OR l.not_before > clock())
    AND (%(mailbox_id)s::bigint IS NULL OR l.mailbox_id = %(mailbox_id)s)
ORDER BY l.not_before DESC, m.id
LIMIT %(limit)s
