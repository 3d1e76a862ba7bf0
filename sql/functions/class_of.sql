-- How urgent a turn is by now, 0 first: 30 minus the chunk's priority, less one for each minute that it has waited.
CREATE OR REPLACE FUNCTION class_of(p_turn_at timestamptz, p_now timestamptz) RETURNS smallint
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN CASE WHEN p_turn_at IS NOT NULL THEN greatest(30 - floor(extract(EPOCH FROM p_now - p_turn_at) / 60),
    0)::smallint END;
