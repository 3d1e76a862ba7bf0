-- Attempts of the last hours by hour, tenant, provider, status and category, from the roll-up.
SELECT a.hour, t.name AS tenant, a.provider, a.status::text AS status, a.error_category::text AS error_category,
    sum(a.attempts)::bigint AS attempts, sum(a.dead_letters)::bigint AS dead_letters
FROM attempt_hours AS a
INNER JOIN tenants AS t ON t.id = a.tenant_id
WHERE a.hour > (SELECT clock()) - %(hours)s * interval '1 hour'
GROUP BY 1, 2, 3, 4, 5
ORDER BY 1
