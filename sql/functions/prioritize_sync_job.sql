-- Change how urgent an open sync job is, 1 to 30: from now on its chunks, those that wait already too, take their turn
-- by it. Who did it and why is kept. Returns how many chunks wait. Raises CS004 when there is no such job, CS006 when
-- it has ended.
CREATE OR REPLACE FUNCTION prioritize_sync_job(
    p_sync_job_id uuid, p_priority integer, p_reason text, p_actor text DEFAULT current_user,
    p_run_id text DEFAULT NULL
) RETURNS integer
LANGUAGE plpgsql VOLATILE SET search_path = chunk_sync, pg_temp AS $$
DECLARE
    v_job sync_jobs;
    v_first record;
    v_count integer;
BEGIN
    PERFORM lock_lanes(ARRAY(SELECT j.mailbox_id FROM sync_jobs AS j WHERE j.public_id = p_sync_job_id));
    SELECT * INTO v_job FROM sync_jobs AS j WHERE j.public_id = p_sync_job_id FOR NO KEY UPDATE;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'no sync job %', p_sync_job_id USING ERRCODE = 'CS004';
    ELSIF v_job.status NOT IN ('requested', 'planning', 'processing') THEN
        RAISE EXCEPTION 'sync job % has ended: it is %', p_sync_job_id, v_job.status USING ERRCODE = 'CS006';
    END IF;
    UPDATE sync_jobs AS j SET priority = p_priority WHERE j.id = v_job.id;
    WITH moved AS (                              -- what is due later or paused gets its turn when it comes
        UPDATE chunk_processing_queue AS q
        SET priority = p_priority, turn_at = CASE WHEN q.status = 'pending' AND q.turn_at < 'infinity'
            THEN turn_of(q.available_at, p_priority::smallint) ELSE q.turn_at END
        WHERE q.sync_job_id = v_job.id AND q.status IN ('pending', 'processing')
        RETURNING q.chunk_id, q.status, q.turn_at
    )
    SELECT count(*) FILTER (WHERE m.status = 'pending') AS waiting,
        (array_agg(m.turn_at ORDER BY m.turn_at, m.chunk_id) FILTER (WHERE m.status = 'pending'
            AND m.turn_at < 'infinity'))[1] AS turn_at,
        (array_agg(m.chunk_id ORDER BY m.turn_at, m.chunk_id) FILTER (WHERE m.status = 'pending'
            AND m.turn_at < 'infinity'))[1] AS chunk_id
    INTO v_first FROM moved AS m;
    v_count := v_first.waiting;
    PERFORM refresh_lane(v_job.mailbox_id, v_first.turn_at, v_first.chunk_id);
    INSERT INTO audit_log (actor, action, tenant_id, sync_job_id, chunks_affected, reason, run_id, details)
    VALUES (p_actor, 'sync_prioritized', v_job.tenant_id, v_job.id, v_count, p_reason, p_run_id,
        jsonb_build_object('was', v_job.priority, 'priority', p_priority));
    RETURN v_count;
END $$;
