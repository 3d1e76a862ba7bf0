-- The retry rule: milliseconds to wait after failed attempt p_attempts, or NULL when it must not be tried again.
-- The provider's Retry-After is a floor; up to a tenth is added at random, so a rule's delay is never undercut.
-- Without a tenant the rule for everybody holds; without a provider nobody is under stress.
CREATE OR REPLACE FUNCTION retry_delay_ms(
    p_category error_category, p_attempts integer, p_max_attempts integer, p_retry_after_ms integer DEFAULT NULL,
    p_tenant_id bigint DEFAULT NULL, p_provider text DEFAULT NULL
) RETURNS integer
LANGUAGE plpgsql VOLATILE SET search_path = chunk_sync, pg_temp AS $$
DECLARE
    v_policy retry_policies := retry_policy(p_category, p_tenant_id);
BEGIN
    IF (v_policy.retryable AND p_attempts < p_max_attempts
        AND p_attempts <= coalesce(v_policy.attempts_limit, p_attempts)) IS NOT TRUE
    THEN
        RETURN NULL;
    END IF;
    IF p_attempts > 1 AND under_stress(p_tenant_id, p_provider, p_category) THEN
        RETURN NULL;
    END IF;
    RETURN least(
        floor(greatest(backoff_ms(v_policy, p_attempts), p_retry_after_ms) * (1 + random() * 0.1)), 2147483647
    );
END $$;
