-- The exact bytes, once a tenant.
INSERT INTO message_raw (tenant_id, sha256, codec, size, data)
SELECT %(tenant_id)s, r.sha256, r.codec, r.size, r.data
FROM unnest(
    %(raw_sha256)b::bytea[], %(codec)b::text[], %(size)b::integer[], %(data)b::bytea[]
) AS r (sha256, codec, size, data)
ON CONFLICT DO NOTHING
