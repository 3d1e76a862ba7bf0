-- Add the hours of attempt_hours that nobody writes any more to attempt_totals: those that are older than a day, and
-- older than the last one that was written. Returns how many rows of attempt_hours it added.
CREATE OR REPLACE FUNCTION fold_attempt_hours() RETURNS bigint
LANGUAGE plpgsql VOLATILE SET search_path = chunk_sync, pg_temp AS $$
DECLARE
    v_from timestamptz;
    v_until timestamptz;
    v_rows bigint;
BEGIN
    PERFORM pg_advisory_xact_lock(hashtext('chunk_sync.fold_attempt_hours'));
    v_from := coalesce((SELECT max(t.until) FROM attempt_totals AS t), '-infinity');
    v_until := least(date_trunc('hour', clock() - interval '1 day', 'UTC'),
        (SELECT max(h.hour) FROM attempt_hours AS h));
    IF v_until IS NULL OR v_until <= v_from THEN
        RETURN 0;
    END IF;
    WITH added AS (
        SELECT h.tenant_id, h.status, h.error_category, sum(h.attempts) AS attempts, sum(h.emails) AS emails,
            sum(h.bytes) AS bytes, sum(h.requests) AS requests, sum(h.ms_sum) AS ms, count(*) AS hours
        FROM attempt_hours AS h WHERE h.hour >= v_from AND h.hour < v_until
        GROUP BY h.tenant_id, h.status, h.error_category
    ), written AS (
        INSERT INTO attempt_totals AS t (tenant_id, status, error_category, attempts, emails, bytes, requests, ms, until)
        SELECT a.tenant_id, a.status, a.error_category, a.attempts, a.emails, a.bytes, a.requests, a.ms, v_until
        FROM added AS a
        ON CONFLICT (tenant_id, status, error_category) DO UPDATE SET attempts = t.attempts + EXCLUDED.attempts,
            emails = t.emails + EXCLUDED.emails, bytes = t.bytes + EXCLUDED.bytes,
            requests = t.requests + EXCLUDED.requests, ms = t.ms + EXCLUDED.ms
    )
    SELECT coalesce(sum(a.hours), 0) INTO v_rows FROM added AS a;
    UPDATE attempt_totals SET until = v_until;
    RETURN v_rows;
END $$;
