-- Close a folder's part of a plan: numbers given out, the cursor of changes, and the one that holds once the job is
-- complete. No highest_modseq: nobody has looked for changes.
WITH numbered AS (
    UPDATE folders
    SET next_uid = greatest(next_uid, %(next_uid)s), highest_modseq = coalesce(%(highest_modseq)s, highest_modseq)
    WHERE id = %(folder_id)s
    RETURNING highest_modseq
)
INSERT INTO sync_job_folders (
    sync_job_id, folder_id, tenant_id, uidvalidity, synced_uid, message_count, planned_messages, planned_bytes,
    highest_modseq, flags_changed, vanished
)
SELECT
    %(job_id)s, %(folder_id)s, %(tenant_id)s, %(uidvalidity)s, %(synced_uid)s, %(message_count)s,
    %(planned_messages)s, %(planned_bytes)s, n.highest_modseq, %(flags_changed)s, %(vanished)s
FROM numbered AS n
