-- All messages that a folder has are given: those that we know beside them are gone, and one that was thought gone and
-- is given is there again.
WITH quarantined AS (
    UPDATE quarantined_messages AS q
    SET vanished_at = CASE WHEN q.uid <@ %(uids)s::int8multirange THEN NULL ELSE clock() END
    WHERE q.folder_id = %(folder_id)s AND q.uidvalidity = %(uidvalidity)s
        AND (q.vanished_at IS NULL) <> (q.uid <@ %(uids)s::int8multirange)
)
UPDATE message_locations AS l
SET vanished_at = CASE WHEN l.uid <@ %(uids)s::int8multirange THEN NULL ELSE clock() END
WHERE l.folder_id = %(folder_id)s AND l.uidvalidity = %(uidvalidity)s
    AND (l.vanished_at IS NULL) <> (l.uid <@ %(uids)s::int8multirange)
