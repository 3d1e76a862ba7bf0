-- The wait that a rule asks for after attempt p_attempts (0 counts as 1), in milliseconds; NULL when it has none.
CREATE OR REPLACE FUNCTION backoff_ms(p_policy retry_policies, p_attempts integer) RETURNS integer
LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE SET search_path = chunk_sync, pg_temp AS $$
DECLARE
    v_attempt integer := greatest(p_attempts, 1);
BEGIN
    RETURN CASE p_policy.kind
        WHEN 'exponential' THEN
            least(p_policy.base_ms * power(p_policy.factor, least(v_attempt - 1, 64)), p_policy.max_delay_ms)
        WHEN 'linear' THEN least(p_policy.base_ms::bigint * v_attempt, p_policy.max_delay_ms)
        WHEN 'schedule' THEN p_policy.delays_ms[least(v_attempt, cardinality(p_policy.delays_ms))]
    END;
END $$;
