-- Flags are the mailbox's own: they follow it.
UPDATE message_locations SET flags = %(flags)s
WHERE folder_id = %(folder_id)s AND uidvalidity = %(uidvalidity)s AND uid = %(uid)s
    AND flags IS DISTINCT FROM %(flags)s::text[]
