-- How much of its provider's quotas a mailbox has used, a row per mailbox and row of provider_quotas: only mailboxes
-- with attempts within the quota's span. Spans of more than an hour are counted by whole hours: one too many at most.
CREATE OR REPLACE FUNCTION quotas_used() RETURNS TABLE (
    tenant_id bigint, mailbox_id bigint, provider text, unit text, span interval, used numeric, amount bigint, note text
)
LANGUAGE sql STABLE SET search_path = chunk_sync, pg_temp AS $$
WITH quotas AS MATERIALIZED (
    SELECT q.*, n.now - q.span AS since,
        -- From here on attempts are counted one by one: they may not be rolled up yet. A day of them at most.
        CASE WHEN q.span <= interval '1 hour' THEN n.now - q.span
            ELSE greatest(n.now - q.span, n.now - interval '1 day', h.last) END AS live_since
    FROM (SELECT clock() AS now) AS n
    CROSS JOIN (SELECT max(a.hour) AS last FROM attempt_hours AS a) AS h
    CROSS JOIN provider_quotas AS q
)

SELECT u.tenant_id, u.mailbox_id, q.provider, q.unit, q.span, u.used, q.amount, q.note
FROM quotas AS q
CROSS JOIN LATERAL (
    SELECT x.tenant_id, x.mailbox_id, sum(CASE q.unit WHEN 'bytes' THEN x.bytes ELSE x.requests END) AS used
    FROM (
        SELECT h.tenant_id, h.mailbox_id, h.bytes, h.requests FROM attempt_hours AS h
        WHERE h.provider = q.provider AND q.span > interval '1 hour'
            AND h.hour > q.since - interval '1 hour' AND h.hour < q.live_since
        UNION ALL
        SELECT a.tenant_id, a.mailbox_id, coalesce(a.bytes_processed, 0), coalesce(a.requests, 0)
        FROM chunked_sync_health_monitoring AS a
        WHERE a.provider = q.provider AND a.created_at >= q.live_since
    ) AS x
    GROUP BY x.tenant_id, x.mailbox_id
) AS u
$$;
