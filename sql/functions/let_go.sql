-- These chunks are not held any more: take them off their workers' lists. The last lock that a transaction takes.
CREATE OR REPLACE FUNCTION let_go(p_chunk_ids bigint[], p_worker_ids bigint[]) RETURNS void
LANGUAGE plpgsql VOLATILE SET search_path = chunk_sync, pg_temp SET plan_cache_mode = force_generic_plan AS $$
DECLARE
    v_worker_id bigint;
BEGIN
    FOR v_worker_id IN SELECT DISTINCT w.id FROM unnest(p_worker_ids) AS w (id) WHERE w.id IS NOT NULL
        ORDER BY w.id LOOP
        UPDATE workers AS w
        SET held = ARRAY(SELECT h.id FROM unnest(w.held) AS h (id) EXCEPT SELECT p.id
            FROM unnest(p_chunk_ids) AS p (id))
        WHERE w.id = v_worker_id;
    END LOOP;
END $$;
