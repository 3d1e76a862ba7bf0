-- A job's status changes: it is closed, or open again. One that completes moves the cursors of its folders; what had
-- landed of a former epoch has landed once more by then, and its old places are void. Folders that the planner of a
-- next job holds are left to that planner, see finish_plan: a landing never waits for a plan.
CREATE OR REPLACE FUNCTION turn_sync_job(p_sync_job_id bigint, p_status sync_job_status) RETURNS void
LANGUAGE plpgsql VOLATILE SET search_path = chunk_sync, pg_temp AS $$
DECLARE
    v_free bigint[];
BEGIN
    UPDATE sync_jobs SET status = p_status,
        completed_at = CASE WHEN p_status <> 'processing' THEN clock() END,
        error_category = CASE WHEN p_status = 'failed' THEN error_category END,
        error_message = CASE WHEN p_status = 'failed' THEN error_message END
    WHERE id = p_sync_job_id;
    IF p_status = 'completed' THEN
        v_free := ARRAY(
            SELECT f.id FROM folders AS f INNER JOIN sync_job_folders AS s ON s.folder_id = f.id
            WHERE s.sync_job_id = p_sync_job_id ORDER BY f.id FOR NO KEY UPDATE OF f SKIP LOCKED
        );
        UPDATE folders AS f SET synced_uid = greatest(f.synced_uid, s.synced_uid)
        FROM sync_job_folders AS s INNER JOIN sync_jobs AS j ON j.id = s.sync_job_id
        WHERE s.sync_job_id = p_sync_job_id AND f.id = ANY (v_free) AND f.id = s.folder_id
            AND f.uidvalidity = s.uidvalidity
            AND j.sync_from IS NULL AND j.sync_to IS NULL;
        WITH void AS (
            SELECT s.folder_id, s.uidvalidity FROM sync_job_folders AS s
            INNER JOIN sync_jobs AS j ON j.id = s.sync_job_id
            INNER JOIN folders AS f ON f.id = s.folder_id AND f.uidvalidity = s.uidvalidity
            WHERE s.sync_job_id = p_sync_job_id AND s.folder_id = ANY (v_free)
                AND j.sync_from IS NULL AND j.sync_to IS NULL
        ), quarantined AS (
            UPDATE quarantined_messages AS q SET vanished_at = clock() FROM void AS o
            WHERE q.folder_id = o.folder_id AND q.uidvalidity <> o.uidvalidity AND q.vanished_at IS NULL
        )
        UPDATE message_locations AS l SET vanished_at = clock() FROM void AS o
        WHERE l.folder_id = o.folder_id AND (l.uidvalidity < o.uidvalidity OR l.uidvalidity > o.uidvalidity)
            AND l.vanished_at IS NULL;
    END IF;
END $$;
