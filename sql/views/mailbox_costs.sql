-- What syncing cost, a row per mailbox, provider and hour: attempts, requests to the provider, bytes, seconds of work
-- of all workers together, messages that landed. Add up any span of hours; one that is bounded by `hour` reads no more.
DROP VIEW IF EXISTS mailbox_costs;
CREATE VIEW mailbox_costs WITH (security_invoker = true) AS
SELECT
    h.tenant_id,
    t.name AS tenant,
    h.mailbox_id,
    m.name AS mailbox,
    h.provider,
    h.hour,
    h.attempts,
    h.failed_attempts,
    h.requests,
    h.bytes,
    h.seconds,
    h.messages,
    round(1000 * h.seconds / nullif(h.messages, 0), 3) AS seconds_per_1000_messages,
    round(1000.0 * h.requests / nullif(h.messages, 0), 3) AS requests_per_1000_messages
FROM (
    SELECT a.tenant_id, a.mailbox_id, a.provider, a.hour, sum(a.attempts) AS attempts,
        coalesce(sum(a.attempts) FILTER (WHERE a.status <> 'success'), 0) AS failed_attempts,
        sum(a.requests) AS requests, sum(a.bytes) AS bytes, round(sum(a.ms_sum) / 1000.0, 3) AS seconds,
        sum(a.emails) AS messages
    FROM attempt_hours AS a
    GROUP BY a.tenant_id, a.mailbox_id, a.provider, a.hour
) AS h
LEFT JOIN tenants AS t ON t.id = h.tenant_id
LEFT JOIN mailboxes AS m ON m.id = h.mailbox_id;
