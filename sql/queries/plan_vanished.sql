-- Messages that are gone from a folder, by ranges of UIDs.
WITH gone AS (
    SELECT lower(r.uids) AS low, upper(r.uids) AS above FROM unnest(%(uids)s::int8multirange) AS r (uids)
), quarantined AS (
    UPDATE quarantined_messages AS q SET vanished_at = clock() FROM gone AS g
    WHERE q.folder_id = %(folder_id)s AND q.uidvalidity = %(uidvalidity)s AND q.uid >= g.low AND q.uid < g.above
        AND q.vanished_at IS NULL
)
UPDATE message_locations AS l SET vanished_at = clock() FROM gone AS g
WHERE l.folder_id = %(folder_id)s AND l.uidvalidity = %(uidvalidity)s AND l.uid >= g.low AND l.uid < g.above
    AND l.vanished_at IS NULL
