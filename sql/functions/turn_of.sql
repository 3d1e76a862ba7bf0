-- A chunk's place among all that waits: a level of priority is worth a minute of waiting, so that higher priority goes
-- first and nothing starves.
CREATE OR REPLACE FUNCTION turn_of(p_available_at timestamptz, p_priority smallint) RETURNS timestamptz
LANGUAGE sql STABLE PARALLEL SAFE
RETURN p_available_at - p_priority * interval '1 minute';
