-- Put a folder's snapshot in and lock it for the plan. A new epoch (UIDVALIDITY) starts without a cursor.
INSERT INTO folders (tenant_id, mailbox_id, key, path, role, uidvalidity, message_count)
VALUES (%(tenant_id)s, %(mailbox_id)s, %(key)s, %(path)s, %(role)s, %(uidvalidity)s, %(message_count)s)
ON CONFLICT (mailbox_id, key) DO UPDATE SET
    path = EXCLUDED.path, role = EXCLUDED.role, message_count = EXCLUDED.message_count, snapshot_at = clock(),
    synced_uid = CASE WHEN folders.uidvalidity = EXCLUDED.uidvalidity THEN folders.synced_uid ELSE 0 END,
    uidvalidity = EXCLUDED.uidvalidity
RETURNING id, next_uid, synced_uid
