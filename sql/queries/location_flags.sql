-- Flags are the mailbox's own: they follow it, and what was fetched is there. A plan that looked at the folder after
-- the chunk was claimed knows better, or will hear of it once more.
UPDATE message_locations AS l
SET flags = string_to_array(g.flags, chr(31)), vanished_at = NULL
FROM unnest(%(uids)b::bigint[], %(flags)b::text[]) AS g (uid, flags)
WHERE l.folder_id = %(folder_id)s AND l.uidvalidity = %(uidvalidity)s AND l.uid = g.uid
    AND (l.flags IS DISTINCT FROM string_to_array(g.flags, chr(31)) OR l.vanished_at IS NOT NULL)
    AND NOT EXISTS (
        SELECT FROM folders AS f, chunk_processing_queue AS q
        WHERE f.id = %(folder_id)s AND q.chunk_id = %(chunk_id)s AND f.snapshot_at > q.started_at
    )
