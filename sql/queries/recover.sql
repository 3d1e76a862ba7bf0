-- Give back what dead workers hold.
SELECT chunk_id, sync_job_id, chunk_index, chunk_status::text, attempts, run_id
FROM recover_expired_leases(%(limit)s, %(run_ids)s::text[])
