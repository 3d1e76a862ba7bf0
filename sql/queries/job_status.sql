-- Progress of sync jobs with their mailbox: of one mailbox or all, the newest first; or the named jobs.
SELECT s.*, m.name AS mailbox, t.name AS tenant,
    CASE WHEN l.not_before > clock() THEN l.not_before END AS throttled_until
FROM chunk_processing_status AS s
INNER JOIN mailboxes AS m ON m.id = s.mailbox_id
INNER JOIN tenants AS t ON t.id = s.tenant_id
INNER JOIN mailbox_lanes AS l ON l.mailbox_id = s.mailbox_id
WHERE (%(mailbox_id)s::bigint IS NULL OR s.mailbox_id = %(mailbox_id)s)
    AND (%(job_ids)s::bigint[] IS NULL OR s.sync_job_id = ANY (%(job_ids)s))
ORDER BY s.sync_job_id DESC
LIMIT %(limit)s
