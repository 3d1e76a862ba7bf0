-- Put a folder's snapshot in and lock it for the plan. A new epoch (UIDVALIDITY) starts without cursors.
INSERT INTO folders (tenant_id, mailbox_id, key, path, role, uidvalidity, message_count, object_id)
VALUES (
    %(tenant_id)s, %(mailbox_id)s, %(key)s, %(path)s, %(role)s, %(uidvalidity)s, %(message_count)s, %(object_id)s
)
ON CONFLICT (mailbox_id, key) DO UPDATE SET
    path = EXCLUDED.path, role = EXCLUDED.role, message_count = EXCLUDED.message_count, snapshot_at = clock(),
    object_id = EXCLUDED.object_id, gone_at = NULL,
    synced_uid = CASE WHEN folders.uidvalidity = EXCLUDED.uidvalidity THEN folders.synced_uid ELSE 0 END,
    highest_modseq = CASE WHEN folders.uidvalidity = EXCLUDED.uidvalidity THEN folders.highest_modseq ELSE 0 END,
    uidvalidity = EXCLUDED.uidvalidity
RETURNING id, next_uid, synced_uid
