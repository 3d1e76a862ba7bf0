-- Where most attempts fail.
SELECT coalesce(e.tenant, e.tenant_id::text) AS tenant, coalesce(e.mailbox, e.mailbox_id::text) AS mailbox, e.provider,
    coalesce(e.category::text, 'unknown') AS category, e.attempts::bigint AS attempts,
    e.share::double precision AS share, e.last_hour
FROM error_hot_spots AS e
ORDER BY e.attempts DESC, e.mailbox_id, e.category LIMIT %(limit)s
