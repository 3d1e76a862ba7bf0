-- One failed attempt, see fail_chunks.
CREATE OR REPLACE FUNCTION fail_chunk(
    p_chunk_id bigint, p_lease_token bigint, p_category error_category, p_message text, p_code text DEFAULT NULL,
    p_retry_after_ms integer DEFAULT NULL, p_account_scope boolean DEFAULT false,
        p_processing_time_ms integer DEFAULT 0,
    p_metadata jsonb DEFAULT '{}'
) RETURNS TABLE (accepted boolean, chunk_status chunk_status, next_attempt_at timestamptz)
LANGUAGE sql VOLATILE SET search_path = chunk_sync, pg_temp AS $$
    SELECT f.accepted, f.chunk_status, f.next_attempt_at FROM fail_chunks(
        ARRAY[p_chunk_id], ARRAY[p_lease_token], ARRAY[p_category], ARRAY[p_message], ARRAY[p_code],
        ARRAY[p_retry_after_ms], ARRAY[p_account_scope], ARRAY[p_processing_time_ms], ARRAY[p_metadata]
    ) AS f
$$;
