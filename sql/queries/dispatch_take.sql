-- A run begins with what was asked for. No row: it was given up, or another run has it.
UPDATE dispatches AS d SET worker_id = %(worker_id)s
WHERE d.id = %(dispatch_id)s AND d.ended_at IS NULL AND d.worker_id IS NULL
RETURNING d.sync_job_id, d.first_index, d.last_index
