-- The folders of a mailbox as the last plan left them.
SELECT id, key, uidvalidity, synced_uid, next_uid FROM folders WHERE mailbox_id = %(mailbox_id)s
