-- Whether a provider is in trouble, as one tenant sees it: more than 5 errors of the category within 15 minutes. What
-- other tenants see at the same provider, and this one elsewhere, does not count. Lost leases are no errors of the
-- provider. Reads six rows at most, however many there are.
CREATE OR REPLACE FUNCTION under_stress(p_tenant_id bigint, p_provider text, p_category error_category) RETURNS boolean
LANGUAGE plpgsql STABLE SET search_path = chunk_sync, pg_temp AS $$
BEGIN
    RETURN 5 < (
        SELECT count(*) FROM (
            SELECT FROM chunked_sync_health_monitoring h
            WHERE h.tenant_id = p_tenant_id AND h.provider = p_provider AND h.error_category = p_category
                AND h.status <> 'recovery' AND h.created_at > clock() - interval '15 minutes'
            LIMIT 6
        ) recent
    );
END $$;
