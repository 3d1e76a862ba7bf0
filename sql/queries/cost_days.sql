-- What syncing cost in the last days, a row per mailbox, provider and day (UTC).
SELECT coalesce(c.tenant, c.tenant_id::text) AS tenant, coalesce(c.mailbox, c.mailbox_id::text) AS mailbox, c.provider,
    date_trunc('day', c.hour, 'UTC') AS day, sum(c.attempts)::bigint AS attempts,
    sum(c.failed_attempts)::bigint AS failed_attempts, sum(c.requests)::bigint AS requests,
    sum(c.bytes)::bigint AS bytes, sum(c.seconds)::double precision AS seconds, sum(c.messages)::bigint AS messages
FROM mailbox_costs AS c
WHERE c.hour >= (SELECT date_trunc('day', clock(), 'UTC') - make_interval(days => %(days)s - 1))
GROUP BY c.tenant_id, c.tenant, c.mailbox_id, c.mailbox, c.provider, date_trunc('day', c.hour, 'UTC')
ORDER BY day, tenant, mailbox, c.provider
