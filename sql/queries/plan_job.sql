-- What a planner must know of a sync job.
SELECT j.id, j.tenant_id, j.mailbox_id, j.sync_type, j.sync_from, j.sync_to, j.priority, j.status, j.plan_attempts
FROM sync_jobs AS j WHERE j.id = %(job_id)s
