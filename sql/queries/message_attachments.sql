-- What is attached to a message, in the order of its parts; without a row there is no such message.
SELECT a.part, a.filename, a.content_type, a.content_id, a.size, a.sha256, a.is_inline
FROM messages AS m
LEFT JOIN attachments AS a ON a.message_id = m.id
WHERE m.id = %(message_id)s
ORDER BY string_to_array(a.part, '.')::integer[]
