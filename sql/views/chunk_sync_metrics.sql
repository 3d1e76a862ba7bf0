-- Numbers for Prometheus and for dashboards, a row per sample: its name, counter or gauge, what it means, its labels,
-- its value. Labels are bounded: the twenty mailboxes with the most to do and the fifty oldest tenants have their
-- names, all others are `other`. A counter never goes down. What is of jobs and chunks is of the open ones, read from
-- the jobs' own counters and from the lanes' marks: neither chunks nor attempts that are over are read, but for the
-- attempts of the hour that is not rolled up yet.
DROP VIEW IF EXISTS chunk_sync_metrics;
CREATE VIEW chunk_sync_metrics WITH (security_invoker = true) AS
WITH moment AS MATERIALIZED (SELECT clock() AS now),

open_jobs AS MATERIALIZED (
    SELECT
        j.mailbox_id,
        sum(j.completed_chunks) AS completed,
        sum(j.failed_chunks) AS failed,
        sum(j.total_chunks - j.completed_chunks - j.failed_chunks - j.cancelled_chunks) AS open,
        coalesce(sum(j.total_chunks - j.completed_chunks - j.failed_chunks - j.cancelled_chunks)
            FILTER (WHERE j.paused_at IS NULL), 0) AS wanted
    FROM sync_jobs AS j WHERE j.status IN ('requested', 'planning', 'processing')
    GROUP BY j.mailbox_id
),

ended_jobs AS MATERIALIZED (
    SELECT j.id, j.status FROM sync_jobs AS j
    WHERE j.completed_at > (SELECT n.now - interval '1 hour' FROM moment AS n)
),

depths AS MATERIALIZED (
    SELECT
        l.tenant_id,
        l.mailbox_id,
        o.completed,
        o.failed,
        least(cardinality(l.held), o.open) AS processing,
        greatest(o.open - cardinality(l.held), 0) AS pending,
        CASE WHEN w.free THEN greatest(o.wanted - cardinality(l.held) - x.later, 0) ELSE 0 END AS due,
        CASE WHEN w.free AND o.wanted > 0
            THEN extract(EPOCH FROM n.now - greatest(least(x.next_at, x.fallen_at), l.not_before)) END AS waits
    FROM moment AS n
    CROSS JOIN open_jobs AS o
    INNER JOIN mailbox_lanes AS l ON l.mailbox_id = o.mailbox_id
    CROSS JOIN LATERAL (SELECT NOT l.paused AND l.not_before <= n.now AS free) AS w
    CROSS JOIN LATERAL (
        SELECT
            (
                SELECT count(*) FROM chunk_processing_queue AS q
                WHERE q.mailbox_id = l.mailbox_id AND q.turn_at IS NULL AND q.available_at > n.now
            ) AS later,
            (
                SELECT q.available_at FROM chunk_processing_queue AS q
                WHERE q.mailbox_id = l.mailbox_id AND (q.turn_at, q.chunk_id) >= (l.low_turn_at, l.low_chunk_id)
                    AND q.turn_at < 'infinity' AND q.status = 'pending'
                ORDER BY q.turn_at, q.chunk_id LIMIT 1
            ) AS next_at,
            (
                SELECT q.available_at FROM chunk_processing_queue AS q
                WHERE q.mailbox_id = l.mailbox_id AND q.turn_at IS NULL AND q.available_at <= n.now
                ORDER BY q.available_at LIMIT 1
            ) AS fallen_at
    ) AS x
),

ranked AS (
    SELECT
        d.*,
        row_number() OVER (ORDER BY d.pending + d.processing DESC, d.mailbox_id) <= 20 AS named
    FROM depths AS d
),

foreseen AS MATERIALIZED (
    SELECT DISTINCT ON (f.kind, f.mailbox_id)
        f.kind, f.mailbox_id, n.now, f.low_at, f.expected_at, f.high_at
    FROM moment AS n INNER JOIN forecasts AS f ON f.made_at > n.now - interval '1 hour'
    WHERE f.scored_at IS NULL AND f.kind <> 'job'
    ORDER BY f.kind, f.mailbox_id, f.id DESC
),

busy AS MATERIALIZED (
    SELECT
        CASE WHEN r.named THEN t.name ELSE 'other' END AS tenant,
        CASE WHEN r.named THEN m.name ELSE 'other' END AS mailbox,
        sum(r.pending) AS pending,
        sum(r.processing) AS processing,
        sum(r.completed) AS completed,
        sum(r.failed) AS failed,
        sum(r.due) AS due,
        greatest(coalesce(max(r.waits), 0), 0) AS waits
    FROM ranked AS r
    INNER JOIN tenants AS t ON t.id = r.tenant_id
    INNER JOIN mailboxes AS m ON m.id = r.mailbox_id
    GROUP BY CASE WHEN r.named THEN t.name ELSE 'other' END, CASE WHEN r.named THEN m.name ELSE 'other' END
),

-- Hours before `folded` are in the totals, those up to `rolled` in attempt_hours, the rest is counted attempt by
-- attempt. The last hour that was rolled up may not be over; after a day it is, and its attempts may be gone. What the
-- roll-up leaves for longer than a day has to wait for it: counting it here would take too long.
edges AS MATERIALIZED (
    SELECT r.folded, r.rolled, greatest(r.rolled, r.now - interval '1 day') AS counted
    FROM (
        SELECT n.now, coalesce((SELECT max(t.until) FROM attempt_totals AS t), '-infinity') AS folded,
            coalesce(h.last + CASE WHEN h.last < n.now - interval '1 day'
                THEN interval '1 hour' ELSE interval '0' END, '-infinity') AS rolled
        FROM moment AS n CROSS JOIN (SELECT max(a.hour) AS last FROM attempt_hours AS a) AS h
    ) AS r
),

done AS MATERIALIZED (
    SELECT p.tenant_id, p.status, p.error_category, sum(p.attempts) AS attempts, sum(p.emails) AS emails,
        sum(p.bytes) AS bytes, sum(p.requests) AS requests, sum(p.ms) AS ms
    FROM (
        SELECT t.tenant_id, t.status, t.error_category, t.attempts, t.emails, t.bytes, t.requests, t.ms
        FROM attempt_totals AS t
        UNION ALL
        SELECT h.tenant_id, h.status, h.error_category, sum(h.attempts), sum(h.emails), sum(h.bytes), sum(h.requests),
            sum(h.ms_sum)
        FROM attempt_hours AS h
        WHERE h.hour >= (SELECT e.folded FROM edges AS e) AND h.hour < (SELECT e.rolled FROM edges AS e)
        GROUP BY h.tenant_id, h.status, h.error_category
        UNION ALL
        SELECT a.tenant_id, a.status, a.error_category, count(*), sum(a.emails_processed),
            coalesce(sum(a.bytes_processed), 0), coalesce(sum(a.requests), 0), sum(a.processing_time_ms)
        FROM chunked_sync_health_monitoring AS a WHERE a.created_at >= (SELECT e.counted FROM edges AS e)
        GROUP BY a.tenant_id, a.status, a.error_category
    ) AS p
    GROUP BY p.tenant_id, p.status, p.error_category
),

by_tenant AS (
    SELECT coalesce(t.name, 'other') AS tenant, sum(d.emails) AS emails, sum(d.bytes) AS bytes,
        sum(d.requests) AS requests, sum(d.ms) AS ms
    FROM done AS d
    LEFT JOIN (SELECT o.id, o.name FROM tenants AS o ORDER BY o.id LIMIT 50) AS t ON t.id = d.tenant_id
    GROUP BY coalesce(t.name, 'other')
)

SELECT s.name, h.kind, h.help, s.labels, s.value::double precision AS value
FROM (VALUES
    ('chunk_sync_chunks', 'gauge', 'chunks of open sync jobs'),
    ('chunk_sync_due_chunks', 'gauge', 'chunks that could be worked on now'),
    ('chunk_sync_oldest_due_seconds', 'gauge', 'how long the chunk whose turn it is has been waiting'),
    ('chunk_sync_forecast_seconds', 'gauge', 'when a mailbox''s open sync jobs will be over: expected, and the range'),
    ('chunk_sync_backlog_forecast_seconds', 'gauge', 'when all open sync jobs will be over: expected, and the range'),
    ('chunk_sync_wanted_runs', 'gauge', 'sync runs that the backlog wants, within the ceiling'),
    ('chunk_sync_runs', 'gauge', 'sync runs that are asked for or at work'),
    ('chunk_sync_workers', 'gauge', 'workers that hold a lease'),
    ('chunk_sync_open_jobs', 'gauge', 'sync jobs that have not ended'),
    ('chunk_sync_ended_jobs', 'gauge', 'sync jobs that ended within the last hour'),
    ('chunk_sync_mailboxes', 'gauge', 'mailboxes: free to be synced, paused, throttled, stopped by their breaker'),
    ('chunk_sync_providers_stopped', 'gauge', 'providers whose breaker is not closed'),
    ('chunk_sync_attempts_total', 'counter', 'attempts at chunks that have ended'),
    ('chunk_sync_landed_messages_total', 'counter', 'messages that attempts have landed'),
    ('chunk_sync_landed_bytes_total', 'counter', 'bytes of these messages'),
    ('chunk_sync_requests_total', 'counter', 'requests to providers'),
    ('chunk_sync_work_seconds_total', 'counter', 'seconds that attempts took, all workers together'),
    ('chunk_sync_quota_share', 'gauge', 'what the mailbox nearest to a provider''s quota has used of it, 1 is all'),
    ('chunk_sync_database_bytes', 'gauge', 'size of the database')
) AS h (name, kind, help)
INNER JOIN (
    SELECT 'chunk_sync_chunks' AS name,
        jsonb_build_object('tenant', b.tenant, 'mailbox', b.mailbox, 'status', s.status) AS labels, s.value
    FROM busy AS b
    CROSS JOIN LATERAL (VALUES ('pending', b.pending), ('processing', b.processing), ('completed', b.completed),
        ('failed', b.failed)) AS s (status, value)
    UNION ALL
    SELECT 'chunk_sync_due_chunks', jsonb_build_object('tenant', b.tenant, 'mailbox', b.mailbox), b.due FROM busy AS b
    UNION ALL
    SELECT 'chunk_sync_oldest_due_seconds', jsonb_build_object('tenant', b.tenant, 'mailbox', b.mailbox), b.waits
    FROM busy AS b
    UNION ALL
    SELECT 'chunk_sync_forecast_seconds', jsonb_build_object('tenant', t.name, 'mailbox', m.name, 'bound', b.bound),
        greatest(extract(EPOCH FROM b.at - f.now), 0)
    FROM ranked AS r
    INNER JOIN foreseen AS f ON f.mailbox_id = r.mailbox_id
    INNER JOIN tenants AS t ON t.id = r.tenant_id
    INNER JOIN mailboxes AS m ON m.id = r.mailbox_id
    CROSS JOIN LATERAL (VALUES ('low', f.low_at), ('expected', f.expected_at), ('high', f.high_at)) AS b (bound, at)
    WHERE r.named
    UNION ALL
    SELECT 'chunk_sync_backlog_forecast_seconds', jsonb_build_object('bound', b.bound),
        greatest(extract(EPOCH FROM b.at - f.now), 0)
    FROM foreseen AS f
    CROSS JOIN LATERAL (VALUES ('low', f.low_at), ('expected', f.expected_at), ('high', f.high_at)) AS b (bound, at)
    WHERE f.kind = 'backlog'
    UNION ALL
    SELECT 'chunk_sync_wanted_runs', '{}', w.wanted_runs FROM scaling_state AS w
    UNION ALL
    SELECT 'chunk_sync_runs', '{}', count(*) FROM dispatches AS d WHERE d.ended_at IS NULL
    UNION ALL
    SELECT 'chunk_sync_workers', '{}', count(*)
    FROM moment AS n INNER JOIN workers AS w ON w.ended_at IS NULL AND w.lease_until >= n.now
    UNION ALL
    SELECT 'chunk_sync_open_jobs', jsonb_build_object('status', s.status), count(j.id)
    FROM unnest('{requested,planning,processing}'::sync_job_status[]) AS s (status)
    LEFT JOIN sync_jobs AS j ON j.status = s.status AND j.status IN ('requested', 'planning', 'processing')
    GROUP BY s.status
    UNION ALL
    SELECT 'chunk_sync_ended_jobs', jsonb_build_object('status', s.status), count(j.id)
    FROM unnest('{completed,failed,cancelled}'::sync_job_status[]) AS s (status)
    LEFT JOIN ended_jobs AS j ON j.status = s.status
    GROUP BY s.status
    UNION ALL
    SELECT 'chunk_sync_mailboxes', jsonb_build_object('state', s.state), s.value
    FROM (
        SELECT count(*) AS mailboxes, count(*) FILTER (WHERE l.paused) AS paused,
            count(*) FILTER (WHERE l.not_before > n.now AND NOT l.paused AND l.breaker = 'closed') AS throttled,
            count(*) FILTER (WHERE l.breaker <> 'closed' AND NOT l.paused) AS broken
        FROM moment AS n CROSS JOIN mailbox_lanes AS l
    ) AS c
    CROSS JOIN LATERAL (VALUES ('paused', c.paused), ('throttled', c.throttled), ('breaker_open', c.broken),
        ('free', c.mailboxes - c.paused - c.throttled - c.broken)) AS s (state, value)
    UNION ALL
    SELECT 'chunk_sync_providers_stopped', '{}', count(*) FROM provider_lanes AS p WHERE p.breaker <> 'closed'
    UNION ALL
    SELECT 'chunk_sync_attempts_total',
        jsonb_build_object('status', d.status, 'category', coalesce(d.error_category::text, '')), sum(d.attempts)
    FROM done AS d GROUP BY d.status, d.error_category
    UNION ALL
    SELECT 'chunk_sync_landed_messages_total', jsonb_build_object('tenant', b.tenant), b.emails FROM by_tenant AS b
    UNION ALL
    SELECT 'chunk_sync_landed_bytes_total', jsonb_build_object('tenant', b.tenant), b.bytes FROM by_tenant AS b
    UNION ALL
    SELECT 'chunk_sync_requests_total', jsonb_build_object('tenant', b.tenant), b.requests FROM by_tenant AS b
    UNION ALL
    SELECT 'chunk_sync_work_seconds_total', jsonb_build_object('tenant', b.tenant), b.ms / 1000.0 FROM by_tenant AS b
    UNION ALL
    SELECT 'chunk_sync_quota_share', jsonb_build_object('provider', q.provider, 'unit', q.unit), max(q.used / q.amount)
    FROM quotas_used() AS q GROUP BY q.provider, q.unit
    UNION ALL
    SELECT 'chunk_sync_database_bytes', '{}', pg_database_size(current_database())
) AS s ON s.name = h.name;
