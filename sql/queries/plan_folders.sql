-- The folders of a mailbox as the last plan left them.
SELECT id, key, uidvalidity, synced_uid, next_uid, message_count, highest_modseq, object_id, gone_at FROM folders
WHERE mailbox_id = %(mailbox_id)s
