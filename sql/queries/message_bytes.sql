-- The exact bytes of a message as they are kept; codec `off`: they are not.
SELECT m.raw_sha256, m.size, r.codec, r.data
FROM messages AS m
LEFT JOIN message_raw AS r ON r.tenant_id = m.tenant_id AND r.sha256 = m.raw_sha256
WHERE m.id = %(message_id)s
