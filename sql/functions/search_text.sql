-- The beginning of a text as search reads it, whatever it is. Runs of more than 100 characters without a blank are cut:
-- PostgreSQL's parser needs the square of a run's length for some of them. So it does for comments that do not end,
-- which is why no bracket opens anything. Neither time nor size depends on what somebody has sent: 65,536 characters
-- make less than the 1 MB that a tsvector may have.
CREATE OR REPLACE FUNCTION search_text(p_text text) RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN regexp_replace(replace(left(p_text, 65536), '<', ' '), '(\S{100})', '\1 ', 'g');
