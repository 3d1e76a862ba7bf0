-- Every mailbox has its lane from the moment it exists, and every provider (protocol and host) its row.
CREATE OR REPLACE FUNCTION mailboxes_lane() RETURNS trigger
LANGUAGE plpgsql SET search_path = chunk_sync, pg_temp AS $$
DECLARE
    v_provider text := NEW.provider || coalesce(':' || lower(substring(NEW.address FROM '://(?:[^@/]*@)?([^:/]+)')),
        '');
BEGIN
    INSERT INTO provider_lanes (provider) VALUES (v_provider) ON CONFLICT DO NOTHING;
    INSERT INTO mailbox_lanes (mailbox_id, tenant_id, provider, wake_at, paused)
    SELECT NEW.id, NEW.tenant_id, v_provider, NULL, t.paused_at IS NOT NULL FROM tenant_lanes AS t
        WHERE t.tenant_id = NEW.tenant_id;
    RETURN NEW;
END $$;

CREATE OR REPLACE TRIGGER mailboxes_lane AFTER INSERT ON mailboxes FOR EACH ROW EXECUTE FUNCTION mailboxes_lane();
