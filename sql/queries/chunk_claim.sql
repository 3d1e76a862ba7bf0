-- Claim chunks, with all that is needed to process them.
SELECT
    k.chunk_id, k.lease_token, k.attempts, k.max_attempts, c.sync_job_id, c.chunk_index, c.tenant_id, c.mailbox_id,
    c.folder_id, f.key AS folder_key, f.role AS folder_role, c.uidvalidity, c.uids, c.provider_ids, c.estimated_emails,
    c.estimated_bytes
FROM claim_chunks(%(worker_id)s, %(limit)s, %(chunk_ids)s::bigint[]) AS k
INNER JOIN sync_chunks AS c ON c.id = k.chunk_id
INNER JOIN folders AS f ON f.id = c.folder_id
ORDER BY c.sync_job_id, c.chunk_index
