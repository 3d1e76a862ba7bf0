-- Which of these messages a mailbox has, by the hash of their bytes.
SELECT id, raw_sha256 FROM messages WHERE mailbox_id = %(mailbox_id)s AND raw_sha256 = ANY (%(hashes)b::bytea[])
