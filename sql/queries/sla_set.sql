-- Promise something to a tenant, or to everybody. No row: there is no such tenant.
INSERT INTO tenant_slas AS s (tenant_id, first_sync_within, freshness_within, failure_budget)
SELECT t.id, %(first_sync_within)s::interval, %(freshness_within)s::interval, %(failure_budget)s::double precision
FROM (
    SELECT x.id FROM tenants AS x WHERE x.name = %(tenant)s
    UNION ALL
    SELECT NULL WHERE %(tenant)s::text IS NULL
) AS t (id)
ON CONFLICT (tenant_id) DO UPDATE SET
    first_sync_within = coalesce(EXCLUDED.first_sync_within, s.first_sync_within),
    freshness_within = coalesce(EXCLUDED.freshness_within, s.freshness_within),
    failure_budget = coalesce(EXCLUDED.failure_budget, s.failure_budget)
RETURNING true AS done
