-- Take these chunks from these workers: the attempt has ended as a lost lease, each is audited. The retry rules and the
-- limit of lost leases decide between pending and dead letter.
CREATE OR REPLACE FUNCTION recover_chunks(p_chunk_ids bigint[], p_worker_ids bigint[], p_reason text)
RETURNS TABLE (
    chunk_id bigint, sync_job_id bigint, chunk_index integer, chunk_status chunk_status, attempts smallint,
        worker_id bigint,
    started_at timestamptz
)
LANGUAGE plpgsql VOLATILE SET search_path = chunk_sync, pg_temp AS $$
#variable_conflict use_column
DECLARE
    v_now timestamptz := clock();
    v_queue chunk_processing_queue;
    v_ended chunk_processing_queue[] := '{}';
    v_next timestamptz;
BEGIN
    PERFORM lock_lanes(ARRAY(SELECT q.mailbox_id FROM chunk_processing_queue AS q
        WHERE q.chunk_id = ANY (p_chunk_ids)));
    FOR v_queue IN
        SELECT * FROM chunk_processing_queue AS q
        WHERE q.chunk_id = ANY (p_chunk_ids) AND q.status = 'processing' AND q.worker_id = ANY (p_worker_ids)
            ORDER BY q.chunk_id
    LOOP
        v_next := end_attempt(v_queue, 'recovery', 'timeout', 'the worker gave no sign of life', 'LEASE_EXPIRED', NULL,
            least(extract(EPOCH FROM v_now - v_queue.started_at) * 1000, 2147483647)::integer,
            (SELECT jsonb_build_object('silent_ms', (extract(EPOCH FROM v_now - w.heartbeat_at) * 1000)::bigint)
            FROM workers AS w WHERE w.id = v_queue.worker_id));
        v_ended := v_ended || v_queue;
        INSERT INTO audit_log (actor, action, tenant_id, sync_job_id, chunks_affected, reason, run_id, details)
        VALUES ('recovery', 'stuck_chunk_reset', v_queue.tenant_id, v_queue.sync_job_id, 1, p_reason,
            (SELECT w.run_id FROM workers AS w WHERE w.id = v_queue.worker_id),
            jsonb_build_object('chunk_id', v_queue.chunk_id, 'attempts', v_queue.attempts, 'dead_letter',
                v_next IS NULL));
        RETURN QUERY SELECT v_queue.chunk_id, v_queue.sync_job_id, v_queue.chunk_index,
            CASE WHEN v_next IS NULL THEN 'failed' ELSE 'pending' END::chunk_status, v_queue.attempts,
                v_queue.worker_id,
            v_queue.started_at;
    END LOOP;
    PERFORM put_back(v_ended);
END $$;
