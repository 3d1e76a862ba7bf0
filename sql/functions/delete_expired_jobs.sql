-- Delete up to p_limit chunks of ended jobs that are past their retention, and up to p_limit jobs that have no chunk
-- left. Completed and cancelled jobs are archived on the way; failed ones had to be, by somebody, after their last end.
-- The newest whole first sync of a mailbox stays, without its chunks: it says that the next sync is incremental.
-- Locks ended jobs and their chunks only, and skips what is locked: no claim and no completion ever waits for it.
CREATE OR REPLACE FUNCTION delete_expired_jobs(p_limit integer, OUT chunks integer, OUT jobs integer)
LANGUAGE plpgsql VOLATILE SET search_path = chunk_sync, pg_temp AS $$
DECLARE
    v_done timestamptz := expired_before('completed_jobs');
    v_failed timestamptz := expired_before('failed_jobs');
    v_job record;
    v_ids bigint[];
BEGIN
    chunks := 0;
    jobs := 0;
    FOR v_job IN
        SELECT j.id, j.status, k.kept,
            EXISTS (SELECT FROM archived_sync_jobs a WHERE a.sync_job_id = j.id
                AND a.archived_at >= j.completed_at) AS archived
        FROM sync_jobs j CROSS JOIN LATERAL (SELECT is_first_sync(j.id) AS kept) k
        WHERE j.completed_at < greatest(v_done, v_failed) AND (
                j.status IN ('completed', 'cancelled') AND j.completed_at < v_done
                OR j.status = 'failed' AND EXISTS (
                    SELECT FROM archived_sync_jobs a
                    WHERE a.sync_job_id = j.id AND a.archived_at >= j.completed_at AND a.archived_at < v_failed
                )
            )
            -- In this form one probe of the index, whatever the planner believes of how many there are.
            AND (NOT k.kept OR (SELECT true FROM sync_chunks c WHERE c.sync_job_id = j.id
                ORDER BY c.chunk_index LIMIT 1))
        ORDER BY j.completed_at LIMIT p_limit FOR UPDATE OF j SKIP LOCKED
    LOOP
        IF NOT v_job.archived THEN
            PERFORM archive_job(v_job.id, 'past its retention', 'retention');
        END IF;
        v_ids := ARRAY(
            SELECT q.chunk_id FROM chunk_processing_queue q JOIN sync_chunks c ON c.id = q.chunk_id
            WHERE q.sync_job_id = v_job.id AND q.status IN ('completed', 'failed', 'cancelled')
            ORDER BY q.chunk_index LIMIT p_limit - chunks FOR UPDATE SKIP LOCKED
        );
        DELETE FROM chunk_processing_queue q WHERE q.chunk_id = ANY (v_ids);
        DELETE FROM sync_chunks c WHERE c.id = ANY (v_ids);
        chunks := chunks + cardinality(v_ids);
        IF NOT v_job.kept THEN
            DELETE FROM sync_jobs j WHERE j.id = v_job.id
                AND NOT EXISTS (SELECT FROM sync_chunks c WHERE c.sync_job_id = j.id)
                AND NOT EXISTS (SELECT FROM dispatches d WHERE d.sync_job_id = j.id AND d.ended_at IS NULL);
            jobs := jobs + CASE WHEN FOUND THEN 1 ELSE 0 END;
        END IF;
        EXIT WHEN chunks >= p_limit;
    END LOOP;
END $$;
