-- Messages have landed, with their texts: they can be found. The trigger is there while search is on.
CREATE OR REPLACE FUNCTION search_landed() RETURNS trigger
LANGUAGE plpgsql VOLATILE SET search_path = chunk_sync, pg_temp AS $$
BEGIN
    INSERT INTO message_search (message_id, tenant_id, document)
    SELECT m.id, m.tenant_id, search_document(m.subject, m.from_name, m.from_address, b.body_text, b.body_html)
    FROM landed AS b INNER JOIN messages AS m ON m.id = b.message_id
    ON CONFLICT DO NOTHING;
    RETURN NULL;
END $$;
