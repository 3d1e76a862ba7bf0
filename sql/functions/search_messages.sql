-- Find messages by the words of subject, sender and text, the best first: `budget "next year" -draft`, or, in quotes,
-- minus, as in a web search. Of one mailbox, or of all that the caller may see (p_tenant: only this one's). Raises
-- CS007 while search is off.
CREATE OR REPLACE FUNCTION search_messages(
    p_query text, p_mailbox text DEFAULT NULL, p_limit integer DEFAULT 50, p_tenant text DEFAULT NULL
) RETURNS TABLE (
    message_id bigint, rank real, subject text, from_name text, from_address text, received_at timestamptz,
    mailbox text, snippet text
)
LANGUAGE plpgsql STABLE SET search_path = chunk_sync, pg_temp AS $$
DECLARE
    v_query tsquery := websearch_to_tsquery('pg_catalog.simple', left(p_query, 1000));
BEGIN
    IF to_regclass('message_search_document') IS NULL THEN
        RAISE EXCEPTION 'search is off' USING ERRCODE = 'CS007',
            HINT = './chunk-sync search on, or as the owner SELECT enable_search()';
    END IF;
    RETURN QUERY
    SELECT m.id, ts_rank(s.document, v_query), m.subject, m.from_name, m.from_address, m.received_at, b.name, m.snippet
    FROM message_search AS s
    INNER JOIN messages AS m ON m.id = s.message_id
    INNER JOIN mailboxes AS b ON b.id = m.mailbox_id
    INNER JOIN tenants AS t ON t.id = m.tenant_id
    WHERE s.document @@ v_query AND (p_mailbox IS NULL OR b.name = p_mailbox) AND (p_tenant IS NULL OR t.name = p_tenant)
    ORDER BY 2 DESC, m.received_at DESC NULLS LAST, m.id DESC
    LIMIT p_limit;
END $$;
