-- What mailboxes landed by the hour, of those that landed anything in this hour or the one before, the most first: the
-- seconds are those of attempts, which run side by side.
WITH recent AS MATERIALIZED (
    SELECT a.tenant_id, a.mailbox_id, a.provider
    FROM attempt_hours AS a
    WHERE a.hour >= date_trunc('hour', (SELECT clock())) - interval '1 hour' AND a.status = 'success'
    GROUP BY a.tenant_id, a.mailbox_id, a.provider
    ORDER BY sum(a.emails) DESC LIMIT 200
)

SELECT t.name AS tenant, m.name AS mailbox, r.provider, a.hour, sum(a.emails)::bigint AS emails,
    (sum(a.ms_sum) / 1000.0)::double precision AS seconds,
    a.hour >= date_trunc('hour', (SELECT clock())) - interval '1 hour' AS recent
FROM recent AS r
INNER JOIN tenants AS t ON t.id = r.tenant_id
INNER JOIN mailboxes AS m ON m.id = r.mailbox_id
INNER JOIN attempt_hours AS a ON a.tenant_id = r.tenant_id AND a.mailbox_id = r.mailbox_id AND a.provider = r.provider
    AND a.status = 'success' AND a.hour > (SELECT clock()) - %(hours)s * interval '1 hour'
GROUP BY t.name, m.name, r.provider, a.hour
ORDER BY t.name, m.name, a.hour
