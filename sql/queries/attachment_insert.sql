-- An attachment of a message that this landing has inserted.
INSERT INTO attachments (message_id, part, tenant_id, filename, content_type, content_id, size, sha256, is_inline)
VALUES (
    %(message_id)s, %(part)s, %(tenant_id)s, %(filename)s, %(content_type)s, %(content_id)s, %(size)s, %(sha256)s,
    %(is_inline)s
)
