-- Somebody has stuck work taken back now instead of waiting for the sensor: from workers whose lease has run out, whose
-- runs are known to be dead (p_run_ids), or that gave no sign of life for so many minutes (NULL: only by the lease).
-- Each chunk is audited as always, and that somebody asked for it. Returns each with what became of it.
CREATE OR REPLACE FUNCTION recover_by_hand(
    p_run_ids text[], p_silent_minutes integer, p_reason text, p_actor text DEFAULT current_user,
    p_run_id text DEFAULT NULL
) RETURNS TABLE (chunk_id bigint, sync_job_id bigint, chunk_index integer, chunk_status chunk_status, attempts smallint)
LANGUAGE plpgsql VOLATILE SET search_path = chunk_sync, pg_temp AS $$
#variable_conflict use_column
DECLARE
    v_plans integer := recover_plans(p_run_ids);
    v_chunks bigint[];
BEGIN
    v_chunks := ARRAY(SELECT r.chunk_id FROM recover_expired_leases(100000, p_run_ids) AS r);
    IF p_silent_minutes IS NOT NULL THEN
        v_chunks := v_chunks || (SELECT s.chunk_ids FROM reset_stuck_chunks(p_silent_minutes) AS s);
    END IF;
    INSERT INTO audit_log (actor, action, chunks_affected, reason, run_id, details)
    VALUES (p_actor, 'recovered_by_hand', cardinality(v_chunks), p_reason, p_run_id,
        jsonb_build_object('chunks', v_chunks, 'plans', v_plans));
    RETURN QUERY SELECT q.chunk_id, q.sync_job_id, q.chunk_index, q.status, q.attempts
    FROM chunk_processing_queue AS q WHERE q.chunk_id = ANY (v_chunks) ORDER BY q.sync_job_id, q.chunk_index;
END $$;
