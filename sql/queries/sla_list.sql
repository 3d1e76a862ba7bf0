-- The promises, everybody's first, and how they stood at the last look.
SELECT t.name AS tenant, s.first_sync_within, s.freshness_within, s.failure_budget,
    n.kept, n.at_risk, n.broken, n.budget_left
FROM tenant_slas AS s
LEFT JOIN tenants AS t ON t.id = s.tenant_id
LEFT JOIN LATERAL (
    SELECT count(*) FILTER (WHERE x.state = 'kept')::integer AS kept,
        count(*) FILTER (WHERE x.state = 'at_risk')::integer AS at_risk,
        count(*) FILTER (WHERE x.state = 'broken')::integer AS broken, min(x.budget_left) AS budget_left
    FROM sla_states AS x
    WHERE x.tenant_id = s.tenant_id
        OR s.tenant_id IS NULL AND x.tenant_id NOT IN (SELECT o.tenant_id FROM tenant_slas AS o WHERE o.tenant_id > 0)
) AS n ON true
ORDER BY s.tenant_id NULLS FIRST
