-- Close a folder's part of a plan: numbers given out, and the cursor that holds once the job is complete.
WITH numbered AS (
    UPDATE folders SET next_uid = greatest(next_uid, %(next_uid)s) WHERE id = %(folder_id)s
)
INSERT INTO sync_job_folders (
    sync_job_id, folder_id, tenant_id, uidvalidity, synced_uid, message_count, planned_messages, planned_bytes
) VALUES (
    %(job_id)s, %(folder_id)s, %(tenant_id)s, %(uidvalidity)s, %(synced_uid)s, %(message_count)s,
    %(planned_messages)s, %(planned_bytes)s
)
