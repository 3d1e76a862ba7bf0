-- Whether failures of this category say something of the provider rather than of one message or one right.
CREATE OR REPLACE FUNCTION speaks_of_health(p_category error_category) RETURNS boolean
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN p_category IN ('timeout', 'rate_limit', 'network', 'temporary', 'auth');
