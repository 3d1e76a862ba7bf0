-- Complete one leased chunk. Called last in the transaction that lands the messages, so landing and completion are one:
-- a stale lease raises CS001, which takes the landing with it. Returns the job's status.
CREATE OR REPLACE FUNCTION complete_chunk(
    p_chunk_id bigint, p_lease_token bigint, p_inserted integer, p_unchanged integer, p_absent integer,
    p_quarantined integer, p_bytes bigint, p_processing_time_ms integer, p_metadata jsonb DEFAULT '{}',
    p_memory_usage bigint DEFAULT NULL
) RETURNS sync_job_status
LANGUAGE plpgsql VOLATILE SET search_path = chunk_sync, pg_temp AS $$
BEGIN
    IF 'stale' = (SELECT c.outcome FROM complete_chunks(
        ARRAY[p_chunk_id], ARRAY[p_lease_token], ARRAY[p_inserted], ARRAY[p_unchanged], ARRAY[p_absent],
        ARRAY[p_quarantined], ARRAY[p_bytes], ARRAY[p_processing_time_ms], ARRAY[p_memory_usage], ARRAY[p_metadata]
    ) AS c) THEN
        RAISE EXCEPTION 'lease % on chunk % is not held any more', p_lease_token, p_chunk_id USING ERRCODE = 'CS001';
    END IF;
    RETURN (SELECT j.status FROM sync_jobs AS j INNER JOIN sync_chunks AS c ON c.sync_job_id = j.id
        WHERE c.id = p_chunk_id);
END $$;
