-- The retry rule: milliseconds to wait after a failed attempt, or NULL when it must not be tried again.
-- The provider's Retry-After is a floor; jitter comes on top, so the table's delay is never undercut.
CREATE OR REPLACE FUNCTION retry_delay_ms(
    p_category error_category, p_attempts integer, p_max_attempts integer, p_retry_after_ms integer DEFAULT NULL
) RETURNS integer
LANGUAGE sql VOLATILE SET search_path = chunk_sync, pg_temp AS $$
    SELECT (greatest(
        p.delays_ms[least(greatest(p_attempts, 1), cardinality(p.delays_ms))], coalesce(p_retry_after_ms, 0)
    ) * (1 + random() * 0.1))::integer
    FROM retry_policies p
    WHERE p.category = p_category AND p_attempts < p_max_attempts
        AND p_attempts <= coalesce(p.attempts_limit, p_max_attempts) AND p.attempts_limit IS DISTINCT FROM 0
$$;
