-- Messages of a folder's epoch that have landed, above a UID.
SELECT uid, provider_id FROM message_locations
WHERE folder_id = %(folder_id)s AND uidvalidity = %(uidvalidity)s AND uid > %(above_uid)s
