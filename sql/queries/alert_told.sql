-- Who was told of the open alerts: the worst level and when last, and what was held back already and why.
SELECT
    d.alert_id,
    d.route_id,
    max(CASE d.level WHEN 'critical' THEN 2 ELSE 1 END) FILTER (WHERE d.status <> 'suppressed') AS told_rank,
    max(d.created_at) FILTER (WHERE d.status <> 'suppressed') AS told_at,
    coalesce(bool_or(d.status IN ('waiting', 'sent')), false) AS reached,
    coalesce(
        array_agg(DISTINCT d.kind || ' ' || d.level || ' ' || d.why) FILTER (WHERE d.status = 'suppressed'), '{}'
    ) AS held
FROM alert_deliveries AS d
WHERE d.alert_id = ANY (%(alert_ids)s::bigint[]) AND d.route_id IS NOT NULL
GROUP BY d.alert_id, d.route_id
