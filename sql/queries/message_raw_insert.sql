-- The exact bytes, once a tenant.
INSERT INTO message_raw (tenant_id, sha256, codec, size, data)
VALUES (%(tenant_id)s, %(sha256)s, %(codec)s, %(size)s, %(data)b)
ON CONFLICT DO NOTHING
