-- Turn search on (the owner): from now on every message that lands can be found. Those that are there already:
-- index_for_search. False: it was on. Waits for landings that are under way, and not for long.
CREATE OR REPLACE FUNCTION enable_search() RETURNS boolean
LANGUAGE plpgsql VOLATILE SET search_path = chunk_sync, pg_temp AS $$
BEGIN
    IF to_regclass('message_search_document') IS NOT NULL THEN
        RETURN false;
    END IF;
    -- First the trigger, and with it the lock for which another one waits who turns it on or off.
    CREATE OR REPLACE TRIGGER message_bodies_search AFTER INSERT ON message_bodies
    REFERENCING NEW TABLE AS landed FOR EACH STATEMENT EXECUTE FUNCTION search_landed();
    IF to_regclass('message_search_document') IS NOT NULL THEN
        RETURN false;
    END IF;
    CREATE INDEX message_search_document ON message_search USING gin (document);
    RETURN true;
END $$;
