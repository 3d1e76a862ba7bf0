-- Ask for a sync of a mailbox by its name: the sensor finds the new job within seconds. Returns the job's public id.
CREATE OR REPLACE FUNCTION request_sync(
    p_mailbox text, p_sync_type sync_type DEFAULT NULL, p_from timestamptz DEFAULT NULL, p_to timestamptz DEFAULT NULL,
    p_priority integer DEFAULT NULL, p_tenant text DEFAULT 'default', p_requested_by text DEFAULT current_user
) RETURNS uuid
LANGUAGE plpgsql VOLATILE SET search_path = chunk_sync, pg_temp AS $$
DECLARE
    v_mailbox bigint;
    v_job uuid;
BEGIN
    SELECT m.id INTO v_mailbox FROM mailboxes m JOIN tenants t ON t.id = m.tenant_id
    WHERE t.name = p_tenant AND m.name = p_mailbox;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'no mailbox "%" of tenant "%"', p_mailbox, p_tenant USING ERRCODE = 'CS004';
    END IF;
    INSERT INTO sync_jobs (mailbox_id, sync_type, sync_from, sync_to, priority, requested_by)
    VALUES (v_mailbox, coalesce(p_sync_type, next_sync_type(v_mailbox)), p_from, p_to, p_priority, p_requested_by)
    RETURNING public_id INTO v_job;
    RETURN v_job;
END $$;
