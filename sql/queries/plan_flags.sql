-- Flags of messages as the mailbox has them now; the flags of one message are joined by U+001F.
UPDATE message_locations AS l SET flags = string_to_array(g.flags, chr(31))
FROM unnest(%(uids)b::bigint[], %(flags)b::text[]) AS g (uid, flags)
WHERE l.folder_id = %(folder_id)s AND l.uidvalidity = %(uidvalidity)s AND l.uid = g.uid
    AND l.flags IS DISTINCT FROM string_to_array(g.flags, chr(31))
