-- How fast folders land, a row per folder with attempts in the last 7 days, the slowest first. What failed is counted,
-- its time is not. Of a history of more than 32 MB (100,000 attempts) a sample of that size is read: `read_share` says
-- how much of it, and counts and sums are those of what was read. A folder's name is in the table folders.
DROP VIEW IF EXISTS folder_speed;
CREATE VIEW folder_speed WITH (security_invoker = true) AS
WITH size AS MATERIALIZED (
    SELECT least(1.0, 32e6 / greatest(pg_relation_size('chunk_sync.chunked_sync_health_monitoring'), 1)) AS share
)

SELECT
    s.tenant_id,
    t.name AS tenant,
    s.mailbox_id,
    m.name AS mailbox,
    m.provider,
    s.folder_id,
    s.attempts,
    s.failed_attempts,
    s.messages,
    s.bytes,
    s.seconds,
    round(1000 * s.seconds / nullif(s.messages, 0), 3) AS seconds_per_1000_messages,
    round(s.bytes / nullif(s.seconds, 0)) AS bytes_per_second,
    (SELECT z.share FROM size AS z) AS read_share
FROM (
    SELECT c.tenant_id, c.mailbox_id, c.folder_id, count(*) AS attempts,
        count(*) FILTER (WHERE a.status <> 'success') AS failed_attempts,
        coalesce(sum(a.emails_processed) FILTER (WHERE a.status = 'success'), 0) AS messages,
        coalesce(sum(a.bytes_processed) FILTER (WHERE a.status = 'success'), 0) AS bytes,
        coalesce(round(sum(a.processing_time_ms) FILTER (WHERE a.status = 'success') / 1000.0, 3), 0) AS seconds
    FROM chunked_sync_health_monitoring AS a
        TABLESAMPLE system (100 * (SELECT z.share FROM size AS z)) REPEATABLE (1)  -- noqa: PRS
    INNER JOIN sync_chunks AS c ON c.id = a.chunk_id
    WHERE a.created_at > (SELECT clock()) - interval '7 days'
    GROUP BY c.tenant_id, c.mailbox_id, c.folder_id
) AS s
LEFT JOIN tenants AS t ON t.id = s.tenant_id
LEFT JOIN mailboxes AS m ON m.id = s.mailbox_id
ORDER BY seconds_per_1000_messages DESC NULLS LAST, s.folder_id;
