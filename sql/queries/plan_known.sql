-- Messages of a folder's epoch that have landed or are quarantined, above a UID.
SELECT l.uid, l.provider_id FROM message_locations AS l
WHERE l.folder_id = %(folder_id)s AND l.uidvalidity = %(uidvalidity)s AND l.uid > %(above_uid)s
UNION ALL
SELECT q.uid, q.provider_id FROM quarantined_messages AS q
WHERE q.folder_id = %(folder_id)s AND q.uidvalidity = %(uidvalidity)s AND q.uid > %(above_uid)s
