-- Make messages findable that landed before search was on: up to p_limit of them, from the one after p_after (0: from
-- the first). Returns the last one, for the next call, NULL at the end. Call it until it answers NULL, each time in a
-- transaction of its own; again from 0 it adds what is missing.
CREATE OR REPLACE FUNCTION index_for_search(p_after bigint DEFAULT 0, p_limit integer DEFAULT 1000) RETURNS bigint
LANGUAGE sql VOLATILE SET search_path = chunk_sync, pg_temp AS $$
    WITH batch AS MATERIALIZED (
        SELECT b.message_id FROM message_bodies AS b WHERE b.message_id > p_after ORDER BY b.message_id LIMIT p_limit
    ), added AS (
        INSERT INTO message_search (message_id, tenant_id, document)
        SELECT m.id, m.tenant_id, search_document(m.subject, m.from_name, m.from_address, b.body_text, b.body_html)
        FROM batch AS x
        INNER JOIN message_bodies AS b ON b.message_id = x.message_id
        INNER JOIN messages AS m ON m.id = x.message_id
        WHERE NOT EXISTS (SELECT FROM message_search AS s WHERE s.message_id = x.message_id)
        ON CONFLICT DO NOTHING
    )
    SELECT max(x.message_id) FROM batch AS x
$$;
