-- The folders of a mailbox that a verification compares.
SELECT key, path, uidvalidity FROM folders WHERE mailbox_id = %(mailbox_id)s ORDER BY path
