-- What messages say.
INSERT INTO message_bodies (message_id, tenant_id, headers, body_text, body_html)
SELECT b.message_id, %(tenant_id)s, b.headers::jsonb, b.body_text, b.body_html
FROM unnest(
    %(message_id)b::bigint[], %(headers)b::text[], %(body_text)b::text[], %(body_html)b::text[]
) AS b (message_id, headers, body_text, body_html)
