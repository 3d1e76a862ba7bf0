-- Give back the chunks of workers whose lease has run out (or who are known to be dead: p_run_ids). The attempt
-- counts; at max_attempts, or after three lost leases, the chunk fails with category timeout. A landing that is under
-- way ends first: its chunks are then no longer the worker's.
CREATE OR REPLACE FUNCTION recover_expired_leases(p_limit integer DEFAULT 1000, p_run_ids text[] DEFAULT '{}')
RETURNS TABLE (chunk_id bigint, sync_job_id bigint, chunk_index integer, chunk_status chunk_status, attempts smallint,
    run_id text)
LANGUAGE plpgsql VOLATILE SET search_path = chunk_sync, pg_temp AS $$
#variable_conflict use_column
DECLARE
    v_now timestamptz := clock();
    v_dead bigint[];
    v_row record;
BEGIN
    IF NOT pg_try_advisory_xact_lock(hashtext('chunk_sync.recovery')) THEN
        RETURN;                                  -- somebody else is sweeping right now
    END IF;
    -- A lease that has run out is never renewed, so these workers stay dead.
    v_dead := ARRAY(SELECT w.id FROM workers AS w WHERE w.ended_at IS NULL AND (w.lease_until < v_now
        OR w.run_id = ANY (p_run_ids)));
    FOR v_row IN SELECT * FROM recover_chunks(
        ARRAY(SELECT h.chunk_id FROM held_by(v_dead) AS h ORDER BY h.chunk_id LIMIT p_limit), v_dead, 'lease expired'
    ) LOOP
        RETURN QUERY SELECT v_row.chunk_id, v_row.sync_job_id, v_row.chunk_index, v_row.chunk_status, v_row.attempts,
            (SELECT w.run_id FROM workers AS w WHERE w.id = v_row.worker_id);
    END LOOP;
    PERFORM FROM workers AS w WHERE w.id = ANY (v_dead) ORDER BY w.id FOR NO KEY UPDATE;  -- a last claim ends first
    UPDATE workers AS w SET ended_at = v_now WHERE w.id = ANY (v_dead)
        AND w.id <> ALL (ARRAY(SELECT h.worker_id FROM held_by(v_dead) AS h));
    UPDATE dispatches AS d SET ended_at = v_now FROM workers AS w
    WHERE d.ended_at IS NULL AND w.id = d.worker_id AND w.ended_at IS NOT NULL;
    UPDATE dispatches AS d SET ended_at = v_now WHERE d.ended_at IS NULL AND d.worker_id IS NULL
        AND d.expires_at < v_now;
END $$;
