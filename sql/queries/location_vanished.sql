-- Messages that a chunk found to be gone.
UPDATE message_locations SET vanished_at = clock()
WHERE folder_id = %(folder_id)s AND uidvalidity = %(uidvalidity)s AND uid = ANY (%(uids)s) AND vanished_at IS NULL
