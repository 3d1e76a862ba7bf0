-- Somebody asked for a sync: who, and why.
INSERT INTO audit_log (actor, action, tenant_id, sync_job_id, reason, run_id)
SELECT %(actor)s, 'sync_requested', j.tenant_id, j.id, %(reason)s, %(run_id)s FROM sync_jobs AS j
WHERE j.id = %(job_id)s
