-- What could not be read or stored, the newest first: of one mailbox or all.
SELECT p.* FROM mail_problems AS p
WHERE %(mailbox_id)s::bigint IS NULL OR p.mailbox_id = %(mailbox_id)s
ORDER BY p.noticed_at DESC, p.folder_id, p.uid DESC
LIMIT %(limit)s
