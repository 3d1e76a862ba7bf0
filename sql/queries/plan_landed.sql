-- Whether anything of a folder's epoch is known: a row if so.
SELECT 1 AS landed
WHERE
    EXISTS (
        SELECT FROM message_locations AS l WHERE l.folder_id = %(folder_id)s AND l.uidvalidity = %(uidvalidity)s
    )
    OR EXISTS (
        SELECT FROM quarantined_messages AS q WHERE q.folder_id = %(folder_id)s AND q.uidvalidity = %(uidvalidity)s
    )
