-- An INSERT of a mailbox alone is a whole request: tenant and priority follow from it.
CREATE OR REPLACE FUNCTION sync_jobs_fill() RETURNS trigger
LANGUAGE plpgsql SET search_path = chunk_sync, pg_temp AS $$
BEGIN
    SELECT m.tenant_id INTO NEW.tenant_id FROM mailboxes m WHERE m.id = NEW.mailbox_id;
    NEW.priority := coalesce(NEW.priority, CASE NEW.sync_type WHEN 'manual' THEN 30 WHEN 'initial' THEN 20 ELSE 10 END);
    RETURN NEW;
END $$;

CREATE OR REPLACE TRIGGER sync_jobs_fill BEFORE INSERT ON sync_jobs FOR EACH ROW EXECUTE FUNCTION sync_jobs_fill();
