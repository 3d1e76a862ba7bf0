-- The rule for a category: the tenant's own, or else everybody's.
CREATE OR REPLACE FUNCTION retry_policy(p_category error_category, p_tenant_id bigint) RETURNS retry_policies
LANGUAGE plpgsql STABLE SET search_path = chunk_sync, pg_temp AS $$
DECLARE
    v_policy retry_policies;
BEGIN
    SELECT * INTO v_policy FROM retry_policies p
    WHERE p.category = p_category AND (p.tenant_id = p_tenant_id OR p.tenant_id IS NULL)
    ORDER BY p.tenant_id NULLS LAST LIMIT 1;
    RETURN v_policy;
END $$;
