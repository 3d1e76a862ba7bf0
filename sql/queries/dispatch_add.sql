-- Note that a run is asked for over a range of a job's chunks.
INSERT INTO dispatches (tenant_id, mailbox_id, sync_job_id, first_index, last_index, expires_at)
VALUES (%(tenant_id)s, %(mailbox_id)s, %(job_id)s, %(first_index)s, %(last_index)s, clock() + %(mark)s::interval)
RETURNING id
