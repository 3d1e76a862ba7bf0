-- What landed of a folder's epoch and should be there: UID, the source's id, and the bytes that are kept.
SELECT l.uid, l.provider_id, m.raw_sha256, r.codec, r.data
FROM message_locations AS l
INNER JOIN folders AS f ON f.id = l.folder_id
INNER JOIN messages AS m ON m.id = l.message_id
LEFT JOIN message_raw AS r ON r.tenant_id = m.tenant_id AND r.sha256 = m.raw_sha256
WHERE f.mailbox_id = %(mailbox_id)s AND f.key = %(key)s AND l.uidvalidity = %(uidvalidity)s
    AND l.vanished_at IS NULL
UNION ALL
SELECT q.uid, q.provider_id, NULL, NULL, NULL
FROM quarantined_messages AS q
INNER JOIN folders AS f ON f.id = q.folder_id
WHERE f.mailbox_id = %(mailbox_id)s AND f.key = %(key)s AND q.uidvalidity = %(uidvalidity)s
    AND q.vanished_at IS NULL
