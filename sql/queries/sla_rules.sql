-- What each tenant was promised: its own row, else everybody's. Seconds; a tenant without any promise is left out.
SELECT t.id AS tenant_id, t.name AS tenant,
    extract(EPOCH FROM s.first_sync_within)::double precision AS first_sync_within,
    extract(EPOCH FROM s.freshness_within)::double precision AS freshness_within,
    s.failure_budget, extract(EPOCH FROM s.span)::double precision AS span
FROM tenants AS t
INNER JOIN LATERAL (
    SELECT x.first_sync_within, x.freshness_within, x.failure_budget, x.span
    FROM tenant_slas AS x WHERE x.tenant_id = t.id OR x.tenant_id IS NULL
    ORDER BY x.tenant_id NULLS LAST LIMIT 1
) AS s ON num_nonnulls(s.first_sync_within, s.freshness_within, s.failure_budget) > 0
ORDER BY t.name
