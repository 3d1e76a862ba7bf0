-- Who paused or resumed what, and why.
CREATE OR REPLACE FUNCTION audit_pause(
    p_action text, p_scope sync_scope, p_public_id uuid, p_chunks integer, p_reason text, p_actor text, p_run_id text
) RETURNS void
LANGUAGE sql VOLATILE SET search_path = chunk_sync, pg_temp AS $$
    INSERT INTO audit_log (actor, action, tenant_id, sync_job_id, chunks_affected, reason, run_id, details)
    SELECT p_actor, p_action, coalesce(j.tenant_id, m.tenant_id, t.id), j.id, p_chunks, p_reason, p_run_id,
        jsonb_build_object('scope', p_scope, 'public_id', p_public_id)
    FROM (SELECT p_public_id AS id) AS p
    LEFT JOIN sync_jobs AS j ON j.public_id = p.id
    LEFT JOIN mailboxes AS m ON m.public_id = p.id
    LEFT JOIN tenants AS t ON t.public_id = p.id
$$;
