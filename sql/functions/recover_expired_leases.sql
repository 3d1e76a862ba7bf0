-- Give back the chunks of workers whose lease has run out (or who are known to be dead: p_run_ids). The attempt
-- counts; at max_attempts, or after three lost leases, the chunk fails with category timeout. Rows that are
-- locked belong to somebody who is alive and are skipped.
CREATE OR REPLACE FUNCTION recover_expired_leases(p_limit integer DEFAULT 1000, p_run_ids text[] DEFAULT '{}')
RETURNS TABLE (chunk_id bigint, sync_job_id bigint, chunk_index integer, chunk_status chunk_status, attempts smallint, run_id text)
LANGUAGE plpgsql VOLATILE SET search_path = chunk_sync, pg_temp AS $$
#variable_conflict use_column
DECLARE
    v_now timestamptz := clock();
    v_row record;
    v_dead boolean;
BEGIN
    IF NOT pg_try_advisory_xact_lock(hashtext('chunk_sync.recovery')) THEN
        RETURN;                                  -- somebody else is sweeping right now
    END IF;
    FOR v_row IN
        SELECT q.chunk_id, q.sync_job_id, q.chunk_index, q.lease_token, q.attempts, q.max_attempts, q.lost_leases,
            q.tenant_id, q.started_at, w.id AS worker_id, w.run_id
        FROM chunk_processing_queue q JOIN workers w ON w.id = q.worker_id
        WHERE q.status = 'processing' AND (w.lease_until < v_now OR w.ended_at IS NOT NULL OR w.run_id = ANY (p_run_ids))
        ORDER BY q.chunk_id LIMIT p_limit FOR UPDATE OF q SKIP LOCKED
    LOOP
        v_dead := v_row.attempts >= v_row.max_attempts OR v_row.lost_leases >= 2;
        UPDATE chunk_processing_queue q
        SET status = CASE WHEN v_dead THEN 'failed' ELSE 'pending' END::chunk_status, worker_id = NULL,
            lost_leases = q.lost_leases + 1, available_at = v_now, error_category = 'timeout',
            completed_at = CASE WHEN v_dead THEN v_now END
        WHERE q.chunk_id = v_row.chunk_id;
        PERFORM record_attempt(v_row.chunk_id, v_row.lease_token, v_row.attempts, 'recovery',
            least(extract(EPOCH FROM v_now - v_row.started_at) * 1000, 2147483647)::integer, 0, 'timeout', 'LEASE_EXPIRED',
            'the worker gave no sign of life', CASE WHEN v_dead THEN NULL ELSE 0 END, NULL, '{}', v_row.worker_id);
        INSERT INTO audit_log (actor, action, tenant_id, sync_job_id, chunks_affected, reason, run_id, details)
        VALUES ('recovery', 'stuck_chunk_reset', v_row.tenant_id, v_row.sync_job_id, 1, 'lease expired', v_row.run_id,
            jsonb_build_object('chunk_id', v_row.chunk_id, 'attempts', v_row.attempts, 'dead_letter', v_dead));
        IF v_dead THEN
            UPDATE sync_jobs SET error_category = 'timeout', error_message = 'the worker gave no sign of life'
            WHERE id = v_row.sync_job_id;
            PERFORM settle_sync_job(v_row.sync_job_id, 0, 1, 0, 0, 0);
        END IF;
        RETURN QUERY SELECT v_row.chunk_id, v_row.sync_job_id, v_row.chunk_index,
            CASE WHEN v_dead THEN 'failed' ELSE 'pending' END::chunk_status, v_row.attempts, v_row.run_id;
    END LOOP;
    UPDATE workers w SET ended_at = v_now
    WHERE w.ended_at IS NULL AND (w.lease_until < v_now OR w.run_id = ANY (p_run_ids))
        AND NOT EXISTS (SELECT FROM chunk_processing_queue q WHERE q.status = 'processing' AND q.worker_id = w.id);
    UPDATE dispatches d SET ended_at = v_now FROM workers w
    WHERE d.ended_at IS NULL AND w.id = d.worker_id AND w.ended_at IS NOT NULL;
    UPDATE dispatches d SET ended_at = v_now WHERE d.ended_at IS NULL AND d.worker_id IS NULL AND d.expires_at < v_now;
END $$;
