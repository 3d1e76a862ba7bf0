-- The moment before which a thing is past its retention; NULL when it is kept for ever.
CREATE OR REPLACE FUNCTION expired_before(p_what text) RETURNS timestamptz
LANGUAGE plpgsql STABLE SET search_path = chunk_sync, pg_temp AS $$
BEGIN
    RETURN (SELECT clock() - r.keep FROM retention_policies r WHERE r.what = p_what);
END $$;
