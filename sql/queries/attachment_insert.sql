-- What is attached to messages: metadata, the content is in their raw bytes.
INSERT INTO attachments (
    message_id, tenant_id, part, filename, content_type, content_id, size, sha256, is_inline
)
SELECT a.message_id, %(tenant_id)s, a.part, a.filename, a.content_type, a.content_id, a.size, a.sha256, a.is_inline
FROM unnest(
    %(message_id)b::bigint[], %(part)b::text[], %(filename)b::text[], %(content_type)b::text[], %(content_id)b::text[],
    %(size)b::integer[], %(sha256)b::bytea[], %(is_inline)b::boolean[]
) AS a (message_id, part, filename, content_type, content_id, size, sha256, is_inline)
