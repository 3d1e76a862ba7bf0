-- Which of these messages have landed: their bytes need not be fetched again.
SELECT uid FROM message_locations
WHERE folder_id = %(folder_id)s AND uidvalidity = %(uidvalidity)s AND uid = ANY (%(uids)s)
