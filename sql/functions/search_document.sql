-- What can be found of a message: its subject (weight A), who sent it (B) and its text (D), or its HTML without tags,
-- styles and scripts where it has no text. Words as they are, for mail has no one language: no stems, no stop words.
-- Never fails, is never NULL, and says nothing of words that are too long to be found; a text counts by its first
-- 65,536 characters.
CREATE OR REPLACE FUNCTION search_document(
    p_subject text, p_from_name text, p_from_address text, p_body_text text, p_body_html text
) RETURNS tsvector
LANGUAGE sql IMMUTABLE PARALLEL SAFE SET search_path = chunk_sync, pg_temp
SET client_min_messages = warning AS $$
    SELECT setweight(to_tsvector('pg_catalog.simple', search_text(left(coalesce(p_subject, ''), 4000))), 'A')
    || setweight(to_tsvector('pg_catalog.simple', search_text(left(
        concat_ws(' ', p_from_name, p_from_address, replace(p_from_address, '@', ' ')), 1000
    ))), 'B')
    || to_tsvector('pg_catalog.simple', search_text(coalesce(
        nullif(p_body_text, ''),
        regexp_replace(left(p_body_html, 262144), '<((style|script)[^<>]*>[^<]*|[^<>]*>)', ' ', 'gi'),
        ''
    )))
$$;
