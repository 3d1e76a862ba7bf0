-- Turn search off (the owner): nothing of it is left, and landings cost what they did before. False: it was off.
CREATE OR REPLACE FUNCTION disable_search() RETURNS boolean
LANGUAGE plpgsql VOLATILE SET search_path = chunk_sync, pg_temp AS $$
BEGIN
    LOCK TABLE message_bodies IN ACCESS EXCLUSIVE MODE;
    IF to_regclass('message_search_document') IS NULL THEN
        RETURN false;
    END IF;
    DROP TRIGGER message_bodies_search ON message_bodies;
    DROP INDEX message_search_document;
    TRUNCATE message_search;
    RETURN true;
END $$;
