-- Every mailbox has its lane from the moment it exists.
CREATE OR REPLACE FUNCTION mailboxes_lane() RETURNS trigger
LANGUAGE plpgsql SET search_path = chunk_sync, pg_temp AS $$
BEGIN
    INSERT INTO mailbox_lanes (mailbox_id, tenant_id) VALUES (NEW.id, NEW.tenant_id);
    RETURN NEW;
END $$;

CREATE OR REPLACE TRIGGER mailboxes_lane AFTER INSERT ON mailboxes FOR EACH ROW EXECUTE FUNCTION mailboxes_lane();
