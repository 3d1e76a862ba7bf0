-- Where attempts fail, a row per mailbox, provider and category of the last 7 days, the most failures first: how many,
-- their share of the mailbox's attempts, and the last hour in which it happened.
DROP VIEW IF EXISTS error_hot_spots;
CREATE VIEW error_hot_spots WITH (security_invoker = true) AS
SELECT
    h.tenant_id,
    t.name AS tenant,
    h.mailbox_id,
    m.name AS mailbox,
    h.provider,
    h.error_category AS category,
    h.failed AS attempts,
    round(h.failed / h.attempts_of_mailbox, 4) AS share,
    h.last_hour
FROM (
    SELECT a.tenant_id, a.mailbox_id, a.provider, a.error_category,
        sum(a.attempts) FILTER (WHERE a.status <> 'success') AS failed, max(a.hour) AS last_hour,
        sum(sum(a.attempts)) OVER (PARTITION BY a.mailbox_id, a.provider) AS attempts_of_mailbox
    FROM attempt_hours AS a
    WHERE a.hour > (SELECT clock()) - interval '7 days'
    GROUP BY a.tenant_id, a.mailbox_id, a.provider, a.error_category
) AS h
LEFT JOIN tenants AS t ON t.id = h.tenant_id
LEFT JOIN mailboxes AS m ON m.id = h.mailbox_id
WHERE h.failed > 0
ORDER BY h.failed DESC, h.mailbox_id, h.error_category;
