-- Chunks that ended, and of them those that are dead letters still: of the jobs within the span of each promise; and of
-- the attempts of the last six hours and of the last one, how many ended a chunk, well or for good.
SELECT r.tenant_id, coalesce(j.ended, 0)::bigint AS ended, coalesce(j.dead, 0)::bigint AS dead,
    coalesce(a.ended_6h, 0)::bigint AS ended_6h, coalesce(a.dead_6h, 0)::bigint AS dead_6h,
    coalesce(a.ended_1h, 0)::bigint AS ended_1h, coalesce(a.dead_1h, 0)::bigint AS dead_1h
FROM (SELECT clock() AS at) AS n
CROSS JOIN unnest(%(tenant_ids)s::bigint[], %(spans)s::double precision[]) AS r (tenant_id, span)
LEFT JOIN LATERAL (
    SELECT sum(x.completed_chunks + x.failed_chunks) AS ended, sum(x.failed_chunks) AS dead
    FROM sync_jobs AS x
    WHERE x.tenant_id = r.tenant_id
        AND (x.completed_at IS NULL OR x.completed_at > n.at - r.span * interval '1 second')
) AS j ON true
LEFT JOIN LATERAL (
    SELECT sum(x.attempts * (x.status = 'success')::integer + x.dead_letters) AS ended_6h,
        sum(x.dead_letters) AS dead_6h,
        sum(x.attempts * (x.status = 'success')::integer + x.dead_letters)
        FILTER (WHERE x.hour > n.at - interval '1 hour') AS ended_1h,
        sum(x.dead_letters) FILTER (WHERE x.hour > n.at - interval '1 hour') AS dead_1h
    FROM attempt_hours AS x
    WHERE x.tenant_id = r.tenant_id AND x.hour > n.at - interval '6 hours'
) AS a ON true
