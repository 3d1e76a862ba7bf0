-- How many messages of a folder's epoch we know to be there, without those in some ranges of UIDs.
SELECT count(*) AS live
FROM (
    SELECT l.uid FROM message_locations AS l
    WHERE l.folder_id = %(folder_id)s AND l.uidvalidity = %(uidvalidity)s AND l.vanished_at IS NULL
    UNION ALL
    SELECT q.uid FROM quarantined_messages AS q
    WHERE q.folder_id = %(folder_id)s AND q.uidvalidity = %(uidvalidity)s AND q.vanished_at IS NULL
) AS k
WHERE NOT k.uid <@ %(vanished)s::int8multirange
