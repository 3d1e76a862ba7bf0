-- Note in the audit log that a run of Dagster's failed, once.
INSERT INTO audit_log (actor, action, tenant_id, sync_job_id, reason, run_id, details)
SELECT 'dagster', 'run_failed', j.tenant_id, j.id, %(reason)s, r.run_id, jsonb_build_object('job', %(job_name)s::text)
FROM (SELECT %(run_id)s::text AS run_id, %(sync_job_id)s::bigint AS sync_job_id) AS r
LEFT JOIN sync_jobs AS j ON j.id = r.sync_job_id
WHERE NOT EXISTS (
    SELECT FROM audit_log AS a
    WHERE a.at > clock() - interval '1 day' AND a.action = 'run_failed' AND a.run_id = r.run_id
)
