-- The plan's chunks are inserted: open the job, or close it when there was nothing to do; the mailbox's lane opens with
-- it. Fenced by the worker: a planner that was given up raises CS001, and its chunks go with the transaction.
CREATE OR REPLACE FUNCTION finish_plan(p_sync_job_id bigint, p_worker_id bigint) RETURNS sync_job_status
LANGUAGE plpgsql VOLATILE SET search_path = chunk_sync, pg_temp AS $$
DECLARE
    v_total record;
    v_job sync_jobs;
BEGIN
    PERFORM lock_lanes(ARRAY(SELECT j.mailbox_id FROM sync_jobs AS j WHERE j.id = p_sync_job_id));
    SELECT count(*)::integer AS chunks, coalesce(sum(c.estimated_emails), 0) AS emails,
        coalesce(sum(c.estimated_bytes), 0) AS bytes,
        min(q.turn_at) AS turn_at, min(c.id) AS first_id
    INTO v_total FROM sync_chunks AS c LEFT JOIN chunk_processing_queue AS q ON q.chunk_id = c.id
    WHERE c.sync_job_id = p_sync_job_id;
    UPDATE sync_jobs
    SET status = 'processing', plan_worker_id = NULL, total_chunks = v_total.chunks,
        emails_estimated = v_total.emails, bytes_estimated = v_total.bytes, error_category = NULL, error_message = NULL
    WHERE id = p_sync_job_id AND status = 'planning' AND plan_worker_id = p_worker_id
    RETURNING * INTO v_job;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'the plan of job % was given to another worker', p_sync_job_id USING ERRCODE = 'CS001';
    END IF;
    -- A planner of 0.1.0, while both are deployed, does not say how large its chunks are.
    UPDATE chunk_processing_queue AS q SET estimated_emails = c.estimated_emails
    FROM sync_chunks AS c WHERE q.sync_job_id = p_sync_job_id AND q.estimated_emails = 0 AND c.id = q.chunk_id;
    IF v_job.paused_at IS NOT NULL THEN
        UPDATE chunk_processing_queue SET turn_at = 'infinity' WHERE sync_job_id = p_sync_job_id;
    END IF;
    -- Jobs that completed meanwhile left the cursors of the folders to their planner.
    UPDATE folders AS f SET synced_uid = s.synced_uid FROM (
        SELECT x.folder_id, x.uidvalidity, max(x.synced_uid) AS synced_uid FROM sync_jobs AS j
        INNER JOIN sync_job_folders AS x ON x.sync_job_id = j.id
        WHERE j.mailbox_id = v_job.mailbox_id AND j.status = 'completed' AND j.completed_at >= v_job.started_at
            AND j.sync_from IS NULL AND j.sync_to IS NULL GROUP BY x.folder_id, x.uidvalidity
    ) AS s
    WHERE f.id = s.folder_id AND f.uidvalidity = s.uidvalidity AND f.synced_uid < s.synced_uid;
    PERFORM refresh_lane(v_job.mailbox_id, v_total.turn_at, v_total.first_id);
    PERFORM trigger_next_chunk_processing(v_job.public_id);
    RETURN settle_sync_job(p_sync_job_id, 0, 0, 0, 0, 0);
END $$;
