-- How long a run of a mailbox took for a chunk lately, in seconds: what makes the next one neither too short to be
-- worth its start nor too long to balance.
SELECT d.mailbox_id, (sum(extract(EPOCH FROM d.ended_at - w.started_at))
    / sum(d.last_index - d.first_index + 1))::double precision AS chunk_seconds
FROM dispatches AS d
INNER JOIN workers AS w ON w.id = d.worker_id
WHERE d.mailbox_id = ANY (%(mailbox_ids)s) AND d.ended_at > clock() - interval '6 hours'
GROUP BY d.mailbox_id
