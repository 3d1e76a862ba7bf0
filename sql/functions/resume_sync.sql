-- Resume what was paused: a sync job, a mailbox or a tenant. Returns how many lanes (mailboxes) may go on.
CREATE OR REPLACE FUNCTION resume_sync(
    p_scope sync_scope, p_public_id uuid, p_reason text, p_actor text DEFAULT current_user, p_run_id text DEFAULT NULL
) RETURNS integer
LANGUAGE plpgsql VOLATILE SET search_path = chunk_sync, pg_temp AS $$
DECLARE
    v_count integer;
BEGIN
    PERFORM lock_lanes(ARRAY(SELECT t.mailbox_id FROM paused_lanes(p_scope, p_public_id) AS t));
    PERFORM mark_paused(p_scope, p_public_id, NULL);
    IF p_scope = 'sync_job' THEN
        UPDATE chunk_processing_queue AS q SET turn_at = NULL
        WHERE q.sync_job_id IN (SELECT j.id FROM sync_jobs_in(p_scope, p_public_id) AS j) AND q.status = 'pending';
    END IF;
    PERFORM refresh_lane(t.mailbox_id) FROM paused_lanes(p_scope, p_public_id) AS t;
    SELECT count(*) INTO v_count FROM paused_lanes(p_scope, p_public_id) AS t INNER JOIN mailbox_lanes AS l
        ON l.mailbox_id = t.mailbox_id
    WHERE NOT l.paused;
    PERFORM audit_pause('sync_resumed', p_scope, p_public_id, 0, p_reason, p_actor, p_run_id);
    RETURN v_count;
END $$;
