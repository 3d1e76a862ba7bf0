-- Progress of sync jobs with their mailbox: of one mailbox or all, the newest first; or the named jobs.
SELECT s.*, m.name AS mailbox, t.name AS tenant,
    CASE WHEN l.not_before > clock() THEN l.not_before END AS throttled_until, c.flags_changed, c.vanished
FROM chunk_processing_status AS s
INNER JOIN mailboxes AS m ON m.id = s.mailbox_id
INNER JOIN tenants AS t ON t.id = s.tenant_id
INNER JOIN mailbox_lanes AS l ON l.mailbox_id = s.mailbox_id
CROSS JOIN LATERAL (
    SELECT coalesce(sum(f.flags_changed), 0)::bigint AS flags_changed, coalesce(sum(f.vanished), 0)::bigint AS vanished
    FROM sync_job_folders AS f WHERE f.sync_job_id = s.sync_job_id
) AS c
WHERE (%(mailbox_id)s::bigint IS NULL OR s.mailbox_id = %(mailbox_id)s)
    AND (%(job_ids)s::bigint[] IS NULL OR s.sync_job_id = ANY (%(job_ids)s))
ORDER BY s.sync_job_id DESC
LIMIT %(limit)s
