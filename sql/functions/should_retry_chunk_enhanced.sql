-- Whether a chunk that failed in attempt p_attempts is tried again: the same rule as retry_delay_ms, for the tenant
-- and the provider of the chunk with this public id. Of an unknown chunk (or NULL) the rule for everybody is told, and
-- an unknown category counts as unknown. p_chunk_index decides nothing: it is what the caller knows the chunk by.
CREATE OR REPLACE FUNCTION should_retry_chunk_enhanced(
    p_chunk_job_id uuid, p_attempts integer, p_max_attempts integer, p_error_category text,
    p_chunk_index integer DEFAULT NULL
) RETURNS boolean
LANGUAGE plpgsql VOLATILE SET search_path = chunk_sync, pg_temp AS $$
DECLARE
    v_tenant_id bigint;
    v_provider text;
BEGIN
    SELECT c.tenant_id, l.provider INTO v_tenant_id, v_provider
    FROM sync_chunks c JOIN mailbox_lanes l ON l.mailbox_id = c.mailbox_id WHERE c.public_id = p_chunk_job_id;
    RETURN retry_delay_ms(
        coalesce(category_named(p_error_category), 'unknown'), p_attempts, p_max_attempts, NULL, v_tenant_id, v_provider
    ) IS NOT NULL;
END $$;
