-- Dagster knows the partition keys of this job.
UPDATE sync_jobs SET keys_registered_at = clock() WHERE id = %(job_id)s AND keys_registered_at IS NULL
