-- The one clock. Tests move it with SET chunk_sync.now = '...'; nothing else calls now().
CREATE OR REPLACE FUNCTION clock() RETURNS timestamptz
LANGUAGE sql STABLE PARALLEL SAFE
RETURN coalesce(nullif(current_setting('chunk_sync.now', true), '')::timestamptz, clock_timestamp());
