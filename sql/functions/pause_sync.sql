-- Pause a sync job, a mailbox or a tenant: nothing of it is claimed or planned until it is resumed; what runs is given
-- back without using an attempt and stops at its next page. Returns how many running chunks were given back.
CREATE OR REPLACE FUNCTION pause_sync(
    p_scope sync_scope, p_public_id uuid, p_reason text, p_actor text DEFAULT current_user, p_run_id text DEFAULT NULL
) RETURNS integer
LANGUAGE plpgsql VOLATILE SET search_path = chunk_sync, pg_temp AS $$
DECLARE
    v_jobs bigint[];
    v_held chunk_processing_queue[];
BEGIN
    PERFORM lock_lanes(ARRAY(SELECT t.mailbox_id FROM paused_lanes(p_scope, p_public_id) AS t));
    v_jobs := ARRAY(SELECT j.id FROM sync_jobs_in(p_scope, p_public_id) AS j);
    PERFORM mark_paused(p_scope, p_public_id, clock());
    IF p_scope = 'sync_job' THEN                 -- the lane goes on with its other jobs
        UPDATE chunk_processing_queue AS q SET turn_at = 'infinity' WHERE q.sync_job_id = ANY (v_jobs)
            AND q.status = 'pending';
    END IF;
    SELECT coalesce(array_agg(q), '{}') INTO v_held FROM chunk_processing_queue AS q
    WHERE q.sync_job_id = ANY (v_jobs) AND q.status = 'processing';
    UPDATE chunk_processing_queue AS q
    SET status = 'pending', worker_id = NULL, attempts = q.attempts - 1,
        turn_at = CASE WHEN p_scope = 'sync_job' THEN 'infinity' ELSE q.turn_at END
    FROM unnest(v_held) AS h WHERE q.chunk_id = h.chunk_id;
    PERFORM put_back(v_held);
    PERFORM refresh_lane(t.mailbox_id) FROM paused_lanes(p_scope, p_public_id) AS t;
    PERFORM audit_pause('sync_paused', p_scope, p_public_id, cardinality(v_held), p_reason, p_actor, p_run_id);
    RETURN cardinality(v_held);
END $$;
