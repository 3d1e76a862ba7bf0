-- Register a worker and give it a lease. A name may come back: each life is a row of its own.
CREATE OR REPLACE FUNCTION open_worker(p_name text, p_lease interval DEFAULT '60 s', p_run_id text DEFAULT NULL)
RETURNS bigint
LANGUAGE sql VOLATILE SET search_path = chunk_sync, pg_temp AS $$
    INSERT INTO workers (name, run_id, lease_until) VALUES (p_name, p_run_id, clock() + p_lease) RETURNING id
$$;
