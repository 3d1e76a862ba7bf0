-- A run works on these chunks because somebody chose them: the sensor is not to ask for another run over them.
INSERT INTO dispatches (tenant_id, mailbox_id, sync_job_id, first_index, last_index, expires_at, worker_id)
SELECT j.tenant_id, j.mailbox_id, j.id, %(first_index)s, %(last_index)s, clock(), %(worker_id)s
FROM sync_jobs AS j WHERE j.id = %(job_id)s
