-- Of these chunks, those that are pending and will be claimable soon.
SELECT q.chunk_id FROM chunk_processing_queue AS q
INNER JOIN mailbox_lanes AS l ON l.mailbox_id = q.mailbox_id
WHERE q.chunk_id = ANY (%(chunk_ids)s) AND q.status = 'pending' AND q.turn_at IS DISTINCT FROM 'infinity'
    AND NOT l.paused
    AND greatest(q.available_at, l.not_before) <= clock() + %(patience)s::interval
