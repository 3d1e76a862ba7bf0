-- How many messages of a folder's epoch we know to be there, without those in some ranges of UIDs.
SELECT
    count(*) AS known,
    count(*) FILTER (WHERE k.vanished_at IS NULL AND NOT k.uid <@ %(vanished)s::int8multirange) AS live
FROM (
    SELECT l.uid, l.vanished_at FROM message_locations AS l
    WHERE l.folder_id = %(folder_id)s AND l.uidvalidity = %(uidvalidity)s
    UNION ALL
    SELECT q.uid, q.vanished_at FROM quarantined_messages AS q
    WHERE q.folder_id = %(folder_id)s AND q.uidvalidity = %(uidvalidity)s
) AS k
