-- Delete every attempt that is past its retention; returns how many.
CREATE OR REPLACE FUNCTION cleanup_old_health_monitoring() RETURNS integer
LANGUAGE plpgsql VOLATILE SET search_path = chunk_sync, pg_temp AS $$
DECLARE
    v_deleted integer;
BEGIN
    DELETE FROM chunked_sync_health_monitoring h WHERE h.created_at < (SELECT expired_before('attempts'));
    GET DIAGNOSTICS v_deleted = ROW_COUNT;
    RETURN v_deleted;
END $$;
