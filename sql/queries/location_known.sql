-- Which of these messages have landed, and how large they are: their bytes need not be fetched again.
SELECT l.uid, m.size FROM message_locations AS l
INNER JOIN messages AS m ON m.id = l.message_id
WHERE l.folder_id = %(folder_id)s AND l.uidvalidity = %(uidvalidity)s AND l.uid = ANY (%(uids)b::bigint[])
